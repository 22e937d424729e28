-- At the cost of one dense chain, the best that sparse decoding buys in each seed: under the Kinetics law (eFLOPs, KV
-- traffic priced) and under the previous law (FLOPs alone). n: chains; cost: share of the cost of one dense chain.
WITH best AS (
  SELECT o.profile, o.seed, o.arm, a.step AS n, a.value AS accuracy, c.value AS cost, cn.name AS law
  FROM run_overview o
  JOIN metric_names an ON an.name = 'best_of/accuracy'
  JOIN metrics a ON a.run_id = o.run_id AND a.metric_id = an.id
  JOIN metric_names cn ON cn.name IN ('best_of/eflops', 'best_of/flops')
  JOIN metrics c ON c.run_id = o.run_id AND c.metric_id = cn.id AND c.step = a.step
  WHERE o.experiment = 'kinetics.reasoning' AND o.status = 'completed'
),
dense AS (SELECT profile, seed, law, accuracy, cost FROM best WHERE arm = 'dense' AND n = 1),
affordable AS (
  SELECT b.profile, replace(b.law, 'best_of/', '') AS law, b.seed, d.accuracy AS dense, b.arm, b.n, b.accuracy,
    b.accuracy - d.accuracy AS gain, b.cost / d.cost AS cost,
    row_number() OVER (PARTITION BY b.profile, b.law, b.seed ORDER BY b.accuracy DESC, b.cost) AS place
  FROM best b JOIN dense d USING (profile, seed, law)
  WHERE b.arm <> 'dense' AND b.cost <= d.cost
)
SELECT profile, law, seed, round(dense, 4) AS dense, arm AS sparse, n, round(accuracy, 4) AS accuracy,
  round(gain, 4) AS gain, round(cost, 2) AS cost
FROM affordable WHERE place = 1 ORDER BY profile, law, seed
