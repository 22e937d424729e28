/** Keeps the coordinator small: the memory of the machine belongs to the workers. */
import { getHeapStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/**
 * Collects garbage when more than `slack` bytes of it may have piled up. On a machine with much memory V8 lets the heap
 * of a process grow to several times what it needs before it looks what is still used: with ten thousand trials 200 MB
 * of what is long over. A collection takes some 50 ms and comes once in a few thousand trials.
 *
 * @returns what to call now and then; it is cheap when there is nothing to do
 */
export function heapKeeper(slack = 24 * 2 ** 20): () => void {
  let collect: (() => void) | undefined
  let kept = getHeapStatistics().used_heap_size
  return () => {
    if (getHeapStatistics().used_heap_size < kept + slack) return
    collect ??= garbageCollector()
    collect()
    kept = getHeapStatistics().used_heap_size
  }
}

/** The function that `--expose-gc` offers, without the flag on the command line. */
function garbageCollector(): () => void {
  setFlagsFromString("--expose-gc")
  const collect = runInNewContext("gc") as (() => void) | undefined
  setFlagsFromString("--no-expose-gc")
  return collect ?? (() => {})
}
