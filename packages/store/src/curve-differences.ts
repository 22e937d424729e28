import type { Connection } from "./connection.ts"

/** Where the series of one metric part in two runs. */
export interface CurveDifference {
  readonly metric: string
  readonly unit: string | null
  /** Steps that both runs have. */
  readonly common: number
  /** First step at which they differ in any bit, or which only one has; null when the series are equal. */
  readonly step: number | null
  /** The values at that step: NaN as NaN, undefined where the run has none. */
  readonly a: number | undefined
  readonly b: number | undefined
}

/** Compares every metric of two runs, step by step, those that part first in front. */
export function curveDifferences(connection: Connection, runA: number, runB: number): CurveDifference[] {
  const rows = connection
    .sql<{
      metric: string
      unit: string | null
      common: number
      step: number | null
      inA: number
      inB: number
      a: number | null
      b: number | null
    }>(
      `WITH a AS (SELECT metric_id, step, value FROM metrics WHERE run_id = ?),
         b AS (SELECT metric_id, step, value FROM metrics WHERE run_id = ?),
         steps AS (
           SELECT coalesce(a.metric_id, b.metric_id) AS metric_id, coalesce(a.step, b.step) AS step,
             a.step IS NOT NULL AS in_a, b.step IS NOT NULL AS in_b, a.value AS a, b.value AS b
           FROM a FULL JOIN b ON a.metric_id = b.metric_id AND a.step = b.step
         ),
         -- With min() the other columns come from the row of the least step.
         apart AS (
           SELECT metric_id, min(step) AS step, in_a, in_b, a, b FROM steps
           WHERE in_a <> in_b OR a IS NOT b GROUP BY metric_id
         )
       SELECT n.name AS metric, n.unit, (SELECT count(*) FROM steps s WHERE s.metric_id = n.id AND in_a AND in_b) AS common,
         apart.step, apart.in_a, apart.in_b, apart.a, apart.b
       FROM (SELECT DISTINCT metric_id FROM steps) m JOIN metric_names n ON n.id = m.metric_id
       LEFT JOIN apart ON apart.metric_id = n.id
       ORDER BY apart.step IS NULL, apart.step, n.name`,
    )
    .all(runA, runB)
  const valueIf = (there: number, value: number | null) => (there ? (value ?? Number.NaN) : undefined)
  return rows.map(({ metric, unit, common, step, inA, inB, a, b }) => ({
    metric,
    unit,
    common,
    step,
    a: step === null ? undefined : valueIf(inA, a),
    b: step === null ? undefined : valueIf(inB, b),
  }))
}
