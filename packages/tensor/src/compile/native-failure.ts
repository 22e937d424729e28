/** Failures of the native runtime, told apart by what they say: it has no error codes at its JavaScript border. */
import { DeviceLost, NativeRuntimeError, OutOfDeviceMemory } from "../errors.ts"

const lost = /device\]? (?:(?:is|was) )?lost|DeviceLost|DEVICE_LOST|DXGI_ERROR_DEVICE_(?:REMOVED|HUNG|RESET)/i

// A buffer that could not be made is reported by its first use: "[Invalid Buffer] is invalid due to a previous error". A
// tensor larger than one binding is cut up, until there are more pieces than a shader may have.
const noRoom =
  /out of memory|OutOfMemory|CUDA_ERROR_OUT_OF_MEMORY|CUDNN_STATUS_ALLOC_FAILED|bad_alloc|Failed to allocate memory|Allocation size too large|\[Invalid Buffer[^\]]*\] is invalid|exceeds the max(?:imum)? (?:\w+ )?(?:buffer|binding|storage)|maxStorageBufferBindingSize|maxBufferSize|Too many storage buffers in shader/i

/** The typed error for what the runtime threw. */
export function nativeFailure(
  device: string,
  doing: string,
  cause: unknown,
): DeviceLost | OutOfDeviceMemory | NativeRuntimeError {
  const message = cause instanceof Error ? cause.message : String(cause)
  if (lost.test(message)) return new DeviceLost(device, cause)
  if (noRoom.test(message)) return new OutOfDeviceMemory(device, doing, cause)
  return new NativeRuntimeError(doing, cause)
}
