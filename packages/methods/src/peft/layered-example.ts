/** The training step that a task with a choice of layers shows. */
import { hostScalar } from "@exp/nn"
import type { TaskStep } from "@exp/spec"
import type { HostTensors } from "@exp/tensor"
import { LayerSampler } from "./layer-choice.ts"
import { layeredState, layeredStep, trainingMarks } from "./layered-step.ts"
import type { LayeredTraining } from "./layered-training.ts"

/**
 * The first step of a training: each set of layers is a graph of its own, and this is the one that its seed draws first.
 *
 * @param what names the model
 * @param batch one batch of the model's tensors
 * @throws TooFewLayers when the model has too few layers for the choice
 */
export function layeredExample(
  what: string,
  {
    model,
    modules,
    choice,
    options,
    params,
    frozen,
    seed,
  }: Pick<LayeredTraining, "model" | "modules" | "choice" | "options" | "params" | "frozen" | "seed">,
  batch: HostTensors,
): TaskStep {
  const layers = new LayerSampler(choice, model.layers, seed).active(0)
  const which =
    layers.length === model.layers
      ? "all layers"
      : `layer${layers.length > 1 ? "s" : ""} ${layers.join(", ")} of 0 to ${model.layers - 1}, as at the first step`
  return {
    name: `${what} with ${modules._tag}, training ${which}`,
    step: layeredStep(model, modules, options),
    state: layeredState(params, frozen),
    batch: { ...batch, ...trainingMarks(layers), learning_rate: hostScalar(1e-3) },
  }
}
