import type { Connection } from "./connection.ts"

export interface MetricDeclaration {
  readonly goal: "max" | "min"
  readonly unit?: string | undefined
  readonly description?: string | undefined
}

interface NameRow {
  readonly id: number
  readonly goal: "max" | "min" | null
  readonly unit: string | null
  readonly description: string | null
}

/** The numbers by which tables refer to metric names, and what is known of each metric. */
export class MetricNames {
  readonly #connection: Connection
  readonly #ids = new Map<string, number>()

  constructor(connection: Connection) {
    this.#connection = connection
    connection.onRollback(() => this.#ids.clear())
  }

  /**
   * Records goal, unit and description; a later declaration of the same name replaces them. A name may end in a
   * wildcard segment (`layer/sparsity/*`): metrics of such names take over what it says.
   */
  declare(metrics: Readonly<Record<string, MetricDeclaration>>): void {
    const upsert = this.#connection.sql(
      `INSERT INTO metric_names (name, goal, unit, description) VALUES (?, ?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET goal = excluded.goal, unit = excluded.unit, description = excluded.description`,
    )
    const spread = this.#connection.sql(
      "UPDATE metric_names SET goal = ?, unit = ?, description = ? WHERE name GLOB ? AND name NOT LIKE '%*'",
    )
    this.#connection.write(() => {
      for (const [name, { goal, unit, description }] of Object.entries(metrics)) {
        upsert.run(name, goal, unit ?? null, description ?? null)
        if (name.endsWith("*")) spread.run(goal, unit ?? null, description ?? null, name)
      }
    })
  }

  /** The id of a name, or undefined when nothing of that name was ever recorded. */
  find(name: string): number | undefined {
    const known = this.#ids.get(name)
    if (known !== undefined) return known
    const found = this.#connection.sql<NameRow>("SELECT id FROM metric_names WHERE name = ?").get(name)
    if (found !== undefined) this.#ids.set(name, found.id)
    return found?.id
  }

  /** The id of a name, made when it is new. */
  id(name: string): number {
    const known = this.#ids.get(name)
    if (known !== undefined) return known
    const found = this.find(name)
    if (found !== undefined) return found
    return this.#connection.write(() => {
      const again = this.#connection.sql<NameRow>("SELECT id FROM metric_names WHERE name = ?").get(name)
      if (again !== undefined) return again.id
      const like = this.#connection
        .sql<NameRow>(
          "SELECT goal, unit, description FROM metric_names WHERE name LIKE '%*' AND ? GLOB name ORDER BY length(name) DESC LIMIT 1",
        )
        .get(name)
      return this.#connection
        .sql("INSERT INTO metric_names (name, goal, unit, description) VALUES (?, ?, ?, ?)")
        .run(name, like?.goal ?? null, like?.unit ?? null, like?.description ?? null).lastInsertRowid
    })
  }

  /** All names in order with what is known of them. */
  all(): (NameRow & { readonly name: string })[] {
    return this.#connection
      .sql<NameRow & { name: string }>(
        "SELECT id, name, goal, unit, description FROM metric_names WHERE name NOT LIKE '%*' ORDER BY name",
      )
      .all()
  }
}
