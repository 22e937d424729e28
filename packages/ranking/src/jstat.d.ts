/** The part of jStat (a JavaScript statistics library without type declarations) that this package uses. */
declare module "jstat" {
  export const jStat: {
    readonly studentt: {
      cdf(x: number, degrees: number): number
      inv(p: number, degrees: number): number
      pdf(x: number, degrees: number): number
    }
    readonly normal: {
      cdf(x: number, mean: number, sd: number): number
      inv(p: number, mean: number, sd: number): number
    }
    readonly noncentralt: { cdf(x: number, degrees: number, noncentrality: number): number }
    gammaln(x: number): number
  }
}
