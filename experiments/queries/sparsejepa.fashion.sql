-- What else the probes say, means over seeds: ten labels of each class, counting (R²), columns of the module that are
-- exactly zero, latents in use, and the multi-information between groups of features (nats).
SELECT profile, arm, max(n) AS n,
  round(max(CASE metric WHEN 'probe/gain' THEN mean END), 4) AS gain,
  round(max(CASE metric WHEN 'probe/acc_10_labels' THEN mean END), 4) AS acc_10_labels,
  round(max(CASE metric WHEN 'probe/count_r2' THEN mean END), 4) AS count_r2,
  round(max(CASE metric WHEN 'pretrain/cols_zero_frac' THEN mean END), 4) AS zero_columns,
  round(max(CASE metric WHEN 'pretrain/latents_used' THEN mean END), 1) AS latents,
  round(max(CASE metric WHEN 'mi/groups' THEN mean END), 2) AS mi_groups
FROM arm_summary WHERE experiment = 'sparsejepa.fashion' GROUP BY profile, arm ORDER BY profile, arm
