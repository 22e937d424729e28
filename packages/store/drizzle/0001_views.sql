CREATE VIRTUAL TABLE samples_text USING fts5(text, tags, content='', contentless_delete=1, tokenize='porter unicode61');
--> statement-breakpoint
CREATE TRIGGER samples_text_insert AFTER INSERT ON samples WHEN new.text IS NOT NULL OR new.tags <> '{}' BEGIN
  INSERT INTO samples_text (rowid, text, tags)
  VALUES (new.id, new.text, (SELECT group_concat(key || ' ' || coalesce(atom, ''), ' ') FROM json_each(new.tags)));
END;
--> statement-breakpoint
CREATE TRIGGER samples_text_update AFTER UPDATE OF text, tags ON samples BEGIN
  DELETE FROM samples_text WHERE rowid = old.id;
  INSERT INTO samples_text (rowid, text, tags)
  VALUES (new.id, new.text, (SELECT group_concat(key || ' ' || coalesce(atom, ''), ' ') FROM json_each(new.tags)));
END;
--> statement-breakpoint
CREATE TRIGGER samples_text_delete AFTER DELETE ON samples BEGIN
  DELETE FROM samples_text WHERE rowid = old.id;
END;
--> statement-breakpoint
CREATE VIEW run_overview AS
SELECT
  r.id AS run_id,
  e.name AS experiment,
  x.profile AS profile,
  x.phase AS phase,
  x.arm AS arm,
  x.condition AS condition,
  t.seed AS seed,
  r.status AS status,
  r.status IN ('queued', 'running') AND r.lease_expires_at IS NOT NULL
    AND r.lease_expires_at < CAST(unixepoch('subsec') * 1000 AS INTEGER) AS lost,
  r.attempt AS attempt,
  r.name AS name,
  r.device AS device,
  r.host AS host,
  datetime(r.created_at / 1000, 'unixepoch') AS created,
  datetime(r.started_at / 1000, 'unixepoch') AS started,
  datetime(r.finished_at / 1000, 'unixepoch') AS finished,
  (coalesce(r.finished_at, r.heartbeat_at) - r.started_at) / 1000.0 AS seconds,
  r.progress_done / nullif(r.progress_total, 0) AS progress,
  r.error ->> '$.message' AS error,
  r.git_commit AS git_commit,
  r.git_dirty AS git_dirty,
  r.code_hash AS code_hash,
  r.trial_id AS trial_id,
  t.task AS task,
  t.task_version AS task_version,
  t.config AS config,
  r.note AS note
FROM runs r
JOIN trials t ON t.id = r.trial_id
LEFT JOIN experiment_trials x ON x.trial_id = r.trial_id
LEFT JOIN experiments e ON e.id = x.experiment_id
WHERE r.deleted_at IS NULL AND e.deleted_at IS NULL;
--> statement-breakpoint
CREATE VIEW final_metrics AS
SELECT
  s.run_id AS run_id,
  e.name AS experiment,
  x.profile AS profile,
  x.phase AS phase,
  x.arm AS arm,
  x.condition AS condition,
  t.seed AS seed,
  r.status AS status,
  NOT EXISTS (
    SELECT 1 FROM runs o WHERE o.trial_id = r.trial_id AND o.status = 'completed' AND o.deleted_at IS NULL AND o.id > r.id
  ) AND r.status = 'completed' AND x.current = 1 AS counts,
  m.name AS metric,
  s.last AS value,
  m.unit AS unit,
  m.goal AS goal,
  s.last_step AS step,
  s.count AS count
FROM metric_summaries s
JOIN metric_names m ON m.id = s.metric_id
JOIN runs r ON r.id = s.run_id
JOIN trials t ON t.id = r.trial_id
LEFT JOIN experiment_trials x ON x.trial_id = r.trial_id
LEFT JOIN experiments e ON e.id = x.experiment_id
WHERE r.deleted_at IS NULL AND e.deleted_at IS NULL;
--> statement-breakpoint
CREATE VIEW best_metrics AS
SELECT
  s.run_id AS run_id,
  e.name AS experiment,
  x.profile AS profile,
  x.phase AS phase,
  x.arm AS arm,
  x.condition AS condition,
  t.seed AS seed,
  r.status AS status,
  m.name AS metric,
  CASE m.goal WHEN 'max' THEN s.max WHEN 'min' THEN s.min END AS value,
  m.unit AS unit,
  m.goal AS goal,
  s.min AS min,
  s.max AS max,
  s.count AS count,
  s.nan_count AS nan_count
FROM metric_summaries s
JOIN metric_names m ON m.id = s.metric_id
JOIN runs r ON r.id = s.run_id
JOIN trials t ON t.id = r.trial_id
LEFT JOIN experiment_trials x ON x.trial_id = r.trial_id
LEFT JOIN experiments e ON e.id = x.experiment_id
WHERE r.deleted_at IS NULL AND e.deleted_at IS NULL;
--> statement-breakpoint
CREATE VIEW arm_summary AS
WITH chosen AS (
  SELECT experiment, profile, arm, condition, metric, unit, goal, value
  FROM final_metrics
  WHERE phase = 'compare' AND counts
),
means AS (
  SELECT
    experiment, profile, arm, condition, metric, unit, goal,
    count(*) FILTER (WHERE abs(value) < 9e999) AS n,
    count(*) FILTER (WHERE value IS NULL OR abs(value) = 9e999) AS diverged,
    avg(value) FILTER (WHERE abs(value) < 9e999) AS mean,
    min(value) FILTER (WHERE abs(value) < 9e999) AS min,
    max(value) FILTER (WHERE abs(value) < 9e999) AS max
  FROM chosen
  GROUP BY experiment, profile, arm, condition, metric
),
spread AS (
  SELECT
    m.*,
    (
      SELECT CASE WHEN m.n > 1 THEN sqrt(sum((c.value - m.mean) * (c.value - m.mean)) / (m.n - 1)) END
      FROM chosen c
      WHERE c.experiment = m.experiment AND c.profile = m.profile AND c.arm = m.arm AND c.condition = m.condition
        AND c.metric = m.metric AND abs(c.value) < 9e999
    ) AS sd
  FROM means m
),
t_quantile (df, t) AS (
  VALUES (1, 12.706204736432095), (2, 4.302652729911275), (3, 3.182446305284263), (4, 2.7764451051977987), (5,
    2.5705818366147395), (6, 2.4469118487916806), (7, 2.3646242510102993), (8, 2.3060041350333704), (9,
    2.2621571627409915), (10, 2.2281388519649385), (11, 2.200985160082949), (12, 2.1788128296634177), (13,
    2.1603686564610127), (14, 2.1447866879169273), (15, 2.131449545559323), (16, 2.1199052992210112), (17,
    2.1098155778331806), (18, 2.10092204024096), (19, 2.093024054408263), (20, 2.0859634472658364), (21,
    2.079613844727662), (22, 2.0738730679040147), (23, 2.0686576104190406), (24, 2.0638985616280205), (25,
    2.059538552753294), (26, 2.055529438642871), (27, 2.0518305164802833), (28, 2.048407141795244), (29,
    2.045229642132703), (30, 2.042272456301238)
)
SELECT
  s.experiment AS experiment,
  s.profile AS profile,
  s.arm AS arm,
  s.condition AS condition,
  s.metric AS metric,
  s.n AS n,
  s.mean AS mean,
  s.sd AS sd,
  s.mean - coalesce(q.t, (1.959963984540054 + 2.372271230299 / (s.n - 1) + 2.822498615740 / ((s.n - 1) * (s.n - 1)) + 2.555849679508 / ((s.n - 1.0) * (s.n - 1) * (s.n - 1)))) * s.sd / sqrt(s.n) AS low,
  s.mean + coalesce(q.t, (1.959963984540054 + 2.372271230299 / (s.n - 1) + 2.822498615740 / ((s.n - 1) * (s.n - 1)) + 2.555849679508 / ((s.n - 1.0) * (s.n - 1) * (s.n - 1)))) * s.sd / sqrt(s.n) AS high,
  s.min AS min,
  s.max AS max,
  s.diverged AS diverged,
  s.unit AS unit,
  s.goal AS goal
FROM spread s
LEFT JOIN t_quantile q ON q.df = s.n - 1;
--> statement-breakpoint
CREATE VIEW leaderboard AS
SELECT
  a.experiment AS experiment,
  a.profile AS profile,
  a.metric AS metric,
  rank() OVER (
    PARTITION BY a.experiment, a.profile ORDER BY a.mean IS NULL, CASE a.goal WHEN 'min' THEN a.mean ELSE -a.mean END
  ) AS rank,
  a.arm AS arm,
  a.condition AS condition,
  a.n AS n,
  a.mean AS mean,
  a.low AS low,
  a.high AS high,
  a.diverged AS diverged,
  a.unit AS unit,
  a.goal AS goal
FROM arm_summary a
JOIN experiments e ON e.name = a.experiment AND a.metric = e.compare ->> '$[0]';
