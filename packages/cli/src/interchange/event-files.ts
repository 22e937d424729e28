/**
 * TensorBoard's event files: TFRecords of `tensorflow.Event` messages.
 *
 * A scalar is written as a tensor of one double under the plugin `scalars`, as TensorFlow 2 writes its own (with floats
 * there): `simple_value`, the older form, has 32 bits and would not bring a double back.
 */
import type { FileSink } from "./file-sink.ts"
import { asDouble, asFloat, asText, fields, MalformedMessage, MessageWriter } from "./protobuf.ts"
import { writeRecord } from "./tfrecord.ts"

// Field numbers of the messages (event.proto, summary.proto, tensor.proto, hparams/plugin_data.proto).
const Event = { wallTime: 1, step: 2, fileVersion: 3, summary: 5 } as const
const Summary = { value: 1 } as const
const Value = { tag: 1, simple: 2, image: 4, histogram: 5, audio: 6, tensor: 8, metadata: 9 } as const
const Metadata = { plugin: 1, dataClass: 4 } as const
const Plugin = { name: 1, content: 2 } as const
const TensorField = {
  type: 1,
  shape: 2,
  content: 4,
  float: 5,
  double: 6,
  int: 7,
  text: 8,
  int64: 10,
  bool: 11,
  half: 13,
} as const
const Type = {
  float: 1,
  double: 2,
  int32: 3,
  uint8: 4,
  int16: 5,
  int8: 6,
  text: 7,
  int64: 9,
  bool: 10,
  bfloat16: 14,
  half: 19,
} as const
const HParams = { start: 3, end: 4 } as const
const SessionStart = { hparams: 1, startTime: 5 } as const
const SessionEnd = { status: 1, endTime: 2 } as const

const scalarClass = 1
const tensorClass = 2
/** Plugin under which our own record of a run lies in a file; TensorBoard passes over it. */
const recordPlugin = "exp"
const recordTag = "exp/record"

/** What hyper-parameters can be in TensorBoard. */
export type HParam = string | number | boolean

function summary(wallTime: number, step: number, fill: (value: MessageWriter) => void): Uint8Array {
  const event = new MessageWriter().double(Event.wallTime, wallTime)
  if (step !== 0) event.int(Event.step, step)
  return event.message(Event.summary, (message) => message.message(Summary.value, fill)).finish()
}

const metadata = (value: MessageWriter, plugin: string, content: Uint8Array | undefined, dataClass?: number) =>
  value.message(Value.metadata, (data) => {
    data.message(Metadata.plugin, (which) => {
      which.text(Plugin.name, plugin)
      if (content !== undefined) which.bytes(Plugin.content, content)
    })
    if (dataClass !== undefined) data.int(Metadata.dataClass, dataClass)
  })

/** Writes the events of one run. Times in ms since 1970. */
export class EventFileWriter {
  readonly #sink: FileSink
  readonly #known = new Set<string>()

  constructor(sink: FileSink, time: number) {
    this.#sink = sink
    writeRecord(
      sink,
      new MessageWriter()
        .double(Event.wallTime, time / 1000)
        .text(Event.fileVersion, "brain.Event:2")
        .finish(),
    )
  }

  scalar(tag: string, step: number, value: number, time: number): void {
    const first = !this.#known.has(tag)
    if (first) this.#known.add(tag)
    writeRecord(
      this.#sink,
      summary(time / 1000, step, (message) => {
        message.text(Value.tag, tag)
        // Readers know a tag's plugin from its first value on.
        if (first) metadata(message, "scalars", undefined, scalarClass)
        message.message(Value.tensor, (tensor) =>
          tensor
            .int(TensorField.type, Type.double)
            .message(TensorField.shape, () => {})
            .message(TensorField.double, (packed) => packed.packedDouble(value)),
        )
      }),
    )
  }

  /** Our own record of the run. */
  record(text: string, time: number): void {
    writeRecord(
      this.#sink,
      summary(time / 1000, 0, (message) => {
        message.text(Value.tag, recordTag)
        metadata(message, recordPlugin, undefined, tensorClass)
        message.message(Value.tensor, (tensor) =>
          tensor
            .int(TensorField.type, Type.text)
            .message(TensorField.shape, () => {})
            .text(TensorField.text, text),
        )
      }),
    )
  }

  /** The config, for TensorBoard's table of hyper-parameters, and how the run ended. */
  hparams(
    values: Readonly<Record<string, HParam>>,
    startTime: number,
    end: { readonly failed: boolean; readonly time: number } | undefined,
  ): void {
    const plugin = (tag: string, time: number, fill: (data: MessageWriter) => void) => {
      const content = new MessageWriter()
      fill(content)
      writeRecord(
        this.#sink,
        summary(time / 1000, 0, (message) => {
          message.text(Value.tag, tag)
          metadata(message, "hparams", content.finish())
        }),
      )
    }
    plugin("_hparams_/session_start_info", startTime, (data) =>
      data.message(HParams.start, (start) => {
        for (const [name, value] of Object.entries(values)) {
          start.message(SessionStart.hparams, (entry) =>
            entry.text(1, name).message(2, (one) => {
              if (typeof value === "number") one.double(2, value)
              else if (typeof value === "string") one.text(3, value)
              else one.int(4, Number(value))
            }),
          )
        }
        start.double(SessionStart.startTime, startTime / 1000)
      }),
    )
    if (end !== undefined)
      plugin("_hparams_/session_end_info", end.time, (data) =>
        data.message(HParams.end, (info) =>
          info.int(SessionEnd.status, end.failed ? 2 : 1).double(SessionEnd.endTime, end.time / 1000),
        ),
      )
  }
}

/** What an event file holds that we can use. Times in ms since 1970. */
export type FoundEvent =
  | { readonly kind: "start"; readonly time: number }
  | {
      readonly kind: "scalar"
      readonly tag: string
      readonly step: number
      readonly value: number
      readonly time: number
    }
  | { readonly kind: "record"; readonly text: string }
  | { readonly kind: "hparams"; readonly values: Readonly<Record<string, HParam>> }
  | { readonly kind: "end"; readonly failed: boolean; readonly time: number }
  /** Pictures, histograms, texts, graphs: what they are. */
  | { readonly kind: "other"; readonly what: string }

/** Reads the events of one run's files; it remembers what plugin a tag belongs to. */
export class EventReader {
  readonly #plugins = new Map<string, string>()

  /**
   * What one record says.
   * @throws MalformedMessage for a record that is no event
   */
  read(record: Uint8Array): FoundEvent[] {
    let wall = 0
    let step: number | bigint = 0
    const summaries: Uint8Array[] = []
    const found: FoundEvent[] = []
    for (const field of fields(record)) {
      if (field.number === Event.wallTime && field.wire === 1) wall = asDouble(field.value)
      else if (field.number === Event.step && field.wire === 0) step = field.value
      else if (field.number === Event.summary && field.wire === 2) summaries.push(field.value)
      else if (field.number === Event.fileVersion && field.wire === 2) {
        if (!asText(field.value).startsWith("brain.Event:"))
          throw new MalformedMessage(`its version is ${JSON.stringify(asText(field.value).slice(0, 40))}`)
        found.push({ kind: "start", time: 0 })
      } else if (field.number === 4 || field.number === 8 || field.number === 9)
        found.push({ kind: "other", what: "graph" })
    }
    const time = Math.round(wall * 1000)
    if (typeof step === "bigint") throw new MalformedMessage(`its step ${step} is too large`)
    for (const message of summaries) {
      for (const field of fields(message)) {
        if (field.number === Summary.value && field.wire === 2) found.push(...this.#value(field.value, step, time))
      }
    }
    return found.map((event) => (event.kind === "start" ? { kind: "start", time } : event))
  }

  #value(bytes: Uint8Array, step: number, time: number): FoundEvent[] {
    let tag = ""
    let simple: number | undefined
    let tensor: Uint8Array | undefined
    let content: Uint8Array | undefined
    let what: string | undefined
    for (const field of fields(bytes)) {
      if (field.number === Value.tag && field.wire === 2) tag = asText(field.value)
      else if (field.number === Value.simple && field.wire === 5) simple = asFloat(field.value)
      else if (field.number === Value.tensor && field.wire === 2) tensor = field.value
      else if (field.number === Value.image) what = "image"
      else if (field.number === Value.histogram) what = "histogram"
      else if (field.number === Value.audio) what = "audio"
      else if (field.number === Value.metadata && field.wire === 2) {
        for (const inner of fields(field.value)) {
          if (inner.number !== Metadata.plugin || inner.wire !== 2) continue
          for (const plugin of fields(inner.value)) {
            if (plugin.wire !== 2) continue
            if (plugin.number === Plugin.name) this.#plugins.set(tag, asText(plugin.value))
            if (plugin.number === Plugin.content) content = plugin.value
          }
        }
      }
    }
    const plugin = this.#plugins.get(tag)
    if (simple !== undefined) return [{ kind: "scalar", tag, step, value: simple, time }]
    if (plugin === "hparams" && content !== undefined) return hparamEvents(content)
    if (what !== undefined) return [{ kind: "other", what }]
    if (tensor === undefined) return [{ kind: "other", what: plugin ?? "unknown value" }]
    if (plugin === recordPlugin && tag === recordTag) {
      for (const field of fields(tensor)) {
        if (field.number === TensorField.text && field.wire === 2)
          return [{ kind: "record", text: asText(field.value) }]
      }
    }
    // Files of TensorFlow 2 without metadata are scalars when they have one number.
    if (plugin === undefined || plugin === "scalars" || plugin === "") {
      const value = tensorScalar(tensor)
      if (value !== undefined) return [{ kind: "scalar", tag, step, value, time }]
    }
    return [{ kind: "other", what: plugin || "tensor" }]
  }
}

/** 16 bits of IEEE half precision as a number. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
}

/** 16 bits of bfloat16: the upper half of a float. */
function brain(bits: number): number {
  const view = new DataView(new ArrayBuffer(4))
  view.setUint32(0, bits << 16)
  return view.getFloat32(0)
}

/** The one number of a tensor; undefined when it has another size or is not of numbers. */
function tensorScalar(bytes: Uint8Array): number | undefined {
  let type = 0
  let elements = 1
  let content: Uint8Array | undefined
  const listed: (number | undefined)[] = []
  for (const field of fields(bytes)) {
    if (field.number === TensorField.type && field.wire === 0) type = Number(field.value)
    else if (field.number === TensorField.shape && field.wire === 2) {
      for (const dimension of fields(field.value)) {
        if (dimension.number !== 2 || dimension.wire !== 2) continue
        let size = 0
        for (const inner of fields(dimension.value))
          if (inner.number === 1 && inner.wire === 0) size = Number(inner.value)
        elements *= size
      }
    } else if (field.number === TensorField.content && field.wire === 2) content = field.value
    else if (field.number === TensorField.float) {
      if (field.wire === 5 || (field.wire === 2 && field.value.length >= 4)) listed.push(asFloat(field.value))
    } else if (field.number === TensorField.double) {
      if (field.wire === 1 || (field.wire === 2 && field.value.length >= 8)) listed.push(asDouble(field.value))
    } else if (
      field.number === TensorField.int ||
      field.number === TensorField.int64 ||
      field.number === TensorField.bool ||
      field.number === TensorField.half
    ) {
      let value = field.wire === 0 ? Number(field.value) : undefined
      // Packed: the first of them, under a field number of its own so that the same reader reads it.
      if (field.wire === 2 && field.value.length > 0) {
        for (const inner of fields(Buffer.concat([Uint8Array.of(8), field.value]))) {
          if (inner.wire === 0) value = Number(inner.value)
          break
        }
      }
      listed.push(
        value === undefined || field.number !== TensorField.half
          ? value
          : type === Type.bfloat16
            ? brain(value)
            : half(value),
      )
    }
  }
  if (elements !== 1 || type === Type.text) return undefined
  if (listed.length > 0) return listed[0]
  if (content === undefined) return type === 0 ? undefined : 0 // proto3 leaves a zero out
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength)
  try {
    switch (type) {
      case Type.float:
        return view.getFloat32(0, true)
      case Type.double:
        return view.getFloat64(0, true)
      case Type.int32:
        return view.getInt32(0, true)
      case Type.int64:
        return Number(view.getBigInt64(0, true))
      case Type.int16:
        return view.getInt16(0, true)
      case Type.int8:
        return view.getInt8(0)
      case Type.uint8:
      case Type.bool:
        return view.getUint8(0)
      case Type.half:
        return half(view.getUint16(0, true))
      case Type.bfloat16:
        return brain(view.getUint16(0, true))
      default:
        return undefined
    }
  } catch {
    throw new MalformedMessage("a tensor is shorter than its type needs")
  }
}

function hparamEvents(content: Uint8Array): FoundEvent[] {
  const found: FoundEvent[] = []
  for (const field of fields(content)) {
    if (field.wire !== 2) continue
    if (field.number === HParams.start) {
      const values: Record<string, HParam> = {}
      for (const inner of fields(field.value)) {
        if (inner.number !== SessionStart.hparams || inner.wire !== 2) continue
        let name = ""
        let value: HParam | undefined
        for (const entry of fields(inner.value)) {
          if (entry.number === 1 && entry.wire === 2) name = asText(entry.value)
          if (entry.number !== 2 || entry.wire !== 2) continue
          for (const one of fields(entry.value)) {
            if (one.number === 2 && one.wire === 1) value = asDouble(one.value)
            else if (one.number === 3 && one.wire === 2) value = asText(one.value)
            else if (one.number === 4 && one.wire === 0) value = one.value !== 0
          }
        }
        if (value !== undefined) values[name] = value
      }
      found.push({ kind: "hparams", values })
    } else if (field.number === HParams.end) {
      let failed = false
      let time = Number.NaN
      for (const inner of fields(field.value)) {
        if (inner.number === SessionEnd.status && inner.wire === 0) failed = inner.value === 2
        if (inner.number === SessionEnd.endTime && inner.wire === 1) time = Math.round(asDouble(inner.value) * 1000)
      }
      found.push({ kind: "end", failed, time })
    }
  }
  return found
}
