/** The style sheet of a report: light and dark, wide and narrow, screen and paper. */
export const style = `
:root { color-scheme: light dark; --text: #1d2126; --muted: #5c6570; --faint: #e3e6ea; --background: #ffffff;
  --panel: #f6f7f9; --accent: #0072b2; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --text: #e4e6e9; --muted: #a0a8b2; --faint: #353a41;
  --background: #15171b; --panel: #1d2025; --accent: #63b3e4; --bad: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--background); color: var(--text);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .7rem; padding-bottom: .3rem; border-bottom: 1px solid var(--faint) }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem }
p { margin: .5rem 0 }
a { color: var(--accent) }
.question { font-size: 1.1rem; color: var(--muted); margin: 0 }
.verdict { border-left: 4px solid var(--accent); background: var(--panel); padding: .8rem 1rem; margin: 1.2rem 0;
  border-radius: 0 6px 6px 0 }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 1.6rem; margin: 1rem 0 0; padding: 0; list-style: none;
  color: var(--muted); font-size: .9rem }
.facts b { color: var(--text); font-weight: 600 }
.bad { color: var(--bad) }
.muted { color: var(--muted); font-size: .9rem }
.scroll { overflow-x: auto; margin: .6rem 0 }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .34rem .9rem .34rem 0; vertical-align: top; white-space: nowrap }
td.wrap { white-space: normal; overflow-wrap: anywhere; min-width: 16rem }
thead th { color: var(--muted); font-weight: 500; border-bottom: 1px solid var(--faint) }
tbody th { font-weight: 600 }
tbody tr + tr > * { border-top: 1px solid var(--faint) }
.number { text-align: right }
code, pre { font: .85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace }
pre { background: var(--panel); border: 1px solid var(--faint); border-radius: 6px; padding: .7rem .9rem;
  overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere }
figure { margin: 1.2rem 0 }
figure svg { display: block; width: 100%; height: auto; max-width: 54rem }
figure svg.narrow { display: none }
.bar { display: inline-block; width: 9rem; height: .7rem; position: relative; background: var(--faint); border-radius: 3px }
.bar i, .bar b { position: absolute; top: 0; height: 100% }
.bar i { background: var(--accent); opacity: .45; border-radius: 3px }
.bar b { width: 3px; margin-left: -1px; background: var(--accent) }
footer { margin-top: 3rem; color: var(--muted); font-size: .85rem }
@media (max-width: 40rem) {
  main { padding: 1.2rem .9rem 3rem }
  h1 { font-size: 1.35rem }
  figure svg.wide { display: none }
  figure svg.narrow { display: block }
}
@media print {
  :root { color-scheme: light; --text: #000; --muted: #444; --faint: #ccc; --background: #fff; --panel: #f5f5f5;
    --accent: #0072b2; --bad: #900 }
  main { max-width: none; padding: 0 }
  body { font-size: 10.5pt }
  .scroll { overflow: visible }
  th, td { padding-right: .5rem; font-size: .76rem }
  figure, tr, pre, .verdict { break-inside: avoid }
  h2, h3 { break-after: avoid }
  figure svg.wide { display: block }
  figure svg.narrow { display: none }
}
`
