"""How the report looks; follows the reader's choice of light or dark, and prints."""

STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f9; --card: #fff; --ink: #16202c;
  --ink-soft: #566475; --line: #dde3ea; --good: #bfe3cd; --bad: #c2202b;
  --s0: #1d5fbf; --s1: #c2551b; --s2: #1a7f4b; --s3: #8646b8; }
@media (prefers-color-scheme: dark) { :root { --paper: #10151c; --card: #18202a; --ink: #e6ebf1;
  --ink-soft: #9fadbd; --line: #2b3643; --good: #1c4a35; --bad: #ff7d80;
  --s0: #7eb1ff; --s1: #ffa56b; --s2: #5fd39a; --s3: #cf9bf5; } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, "Segoe UI", Roboto, sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1280px; margin: 0 auto; padding: 16px; }
section { display: grid; gap: 16px; grid-template-columns: minmax(0, 1fr); }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.25rem; margin: 20px 0 0; }
h3 { font-size: 1.05rem; margin: 0 0 8px; } p { margin: 4px 0; }
.soft { color: var(--ink-soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 14px 16px; min-width: 0; }
.card.good { border-left: 5px solid #1a7f4b; }
.plots { display: grid; gap: 12px 20px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); }
figure { margin: 0; min-width: 0; } figcaption { margin-bottom: 2px; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink-soft); font-size: 12px; }
.grid-line { stroke: var(--line); fill: none; }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.band { stroke: none; opacity: 0.2; }
rect.good { fill: var(--good); } rect.bad { fill: var(--bad); }
.key { margin-left: 10px; font-weight: 500; }
.line.s0 { stroke: var(--s0); } .band.s0, .dot.s0 { fill: var(--s0); } .key.s0 { color: var(--s0); }
.line.s1 { stroke: var(--s1); } .band.s1, .dot.s1 { fill: var(--s1); } .key.s1 { color: var(--s1); }
.line.s2 { stroke: var(--s2); } .band.s2, .dot.s2 { fill: var(--s2); } .key.s2 { color: var(--s2); }
.line.s3 { stroke: var(--s3); } .band.s3, .dot.s3 { fill: var(--s3); } .key.s3 { color: var(--s3); }
.kpis { display: grid; gap: 10px 20px; margin: 0 0 14px;
  grid-template-columns: repeat(auto-fill, minmax(180px, 1fr)); }
.kpis dt { color: var(--ink-soft); font-size: 0.87rem; }
.kpis dd { margin: 0; font-size: 1.2rem; font-weight: 600; }
.kpis div { min-width: 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 500; color: var(--ink-soft); font-size: 0.87rem; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { white-space: nowrap; }
td:last-child { white-space: normal; overflow-wrap: anywhere; min-width: 14em; }
td:nth-last-child(2) { white-space: normal; }
.scroll svg { min-width: 760px; }
details { margin-top: 8px; } summary { cursor: pointer; color: var(--s0); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; }
@media (max-width: 640px) {
  thead { display: none; } table, tbody, tr, td { display: block; }
  tr { padding: 6px 0; border-bottom: 1px solid var(--line); }
  td, td:last-child { border: 0; padding: 1px 0; white-space: normal; min-width: 0; }
  td:empty { display: none; }
  td::before { content: attr(data-label) " "; color: var(--ink-soft); }
}
@media print { details[open] summary { display: none; } .card { break-inside: avoid-page; } }
"""
