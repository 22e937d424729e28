/** Parameter-efficient fine-tuning: tuners, the transfer test bed, and the exact studies. */
export { KernelFit, KernelFitConfig } from "./kernel-fit.ts"
export {
  AllLayers,
  FirstLayers,
  GivenLayers,
  Ist,
  LastLayers,
  LayerChoice,
  type LayerChoiceInput,
  RandomLayers,
} from "./layer-choice.ts"
export { AdapterModules, DoraModules, LayerModules, type LayerModulesInput, LoraModules } from "./layer-modules.ts"
export { LayeredLanguage, LayeredLanguageConfig } from "./layered-language.ts"
export { LayeredTransfer, LayeredTransferConfig } from "./layered-transfer.ts"
export { Pretraining, PretrainingConfig } from "./pretraining.ts"
export { SparseTeacher, SparseTeacher4, SparseTeacher4Config, SparseTeacherConfig } from "./sparse-teacher.ts"
export { TowerTeacher, TowerTeacherConfig } from "./tower-teacher.ts"
export {
  Adapter,
  BitFit,
  FullFineTune,
  GradientMask,
  KernelLora,
  KernelLoraMix,
  LinearProbe,
  Lora,
  Snell,
  Snella,
  SparsifiedLora,
  Tuner,
  type TunerInput,
} from "./tuners.ts"
export { VisionTransfer, VisionTransferConfig } from "./vision-transfer.ts"
