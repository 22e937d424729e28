/** Directions of metrics whose names are common property, used where nobody declared one. */

const larger = new Set(
  "acc acc_norm accuracy exact_match quasi_exact_match prefix_exact_match quasi_prefix_exact_match em f1 f1_score f1_macro f1_micro precision recall auc auroc roc_auc mcc bleu bleu_4 sacrebleu chrf rouge rouge1 rouge2 rougel rouge_1 rouge_2 rouge_l meteor ter_gain correct correctness pass pass@1 win_rate ndcg mrr map score likelihood reward".split(
    " ",
  ),
)
const smaller = new Set(
  "loss nll error error_rate wer cer ter perplexity word_perplexity byte_perplexity bits_per_byte mse mae rmse brier brier_score ece latency".split(
    " ",
  ),
)

/** The usual goal of a metric name: its last segment, without a filter suffix (`exact_match,strict-match`). */
export function knownGoal(metric: string): "max" | "min" | undefined {
  const name = metric.split(",")[0]!.split("/").at(-1)!.toLowerCase()
  return larger.has(name) ? "max" : smaller.has(name) ? "min" : undefined
}
