/** How the report looks, in light and dark. */
export const style = `
:root{color-scheme:light dark;--line:#8884;--text:#1b1f24;--soft:#59636e}
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--soft:#9198a1}}
body{font:16px/1.5 system-ui,sans-serif;max-width:1180px;margin:2rem auto;padding:0 1rem;color:var(--text)}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:.95rem;margin:1rem 0 .2rem}p{max-width:46rem}.soft{color:var(--soft)}
svg,.wide{max-width:100%}.wide{overflow-x:auto}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.35rem .9rem;border-bottom:1px solid var(--line);text-align:right}
th:first-child{text-align:left;font-weight:600}
.charts{display:flex;flex-wrap:wrap;gap:1rem}.charts figure{margin:0;flex:1 1 420px;max-width:560px;min-width:0}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:0 1rem;margin:0 0 .3rem;padding:0;font-size:.8rem;color:var(--soft)}
.charts figcaption{font-size:.85rem}
svg{width:100%;height:auto}svg .grid{stroke:var(--line)}svg .tick{font-size:11px;fill:var(--soft)}
.row{display:flex;gap:.5rem;margin-bottom:.5rem;overflow-x:auto}.row figure{margin:0;flex:none;text-align:center}
.row img{width:88px;height:88px;object-fit:cover;border:4px solid;border-radius:6px;image-rendering:auto}
.query{margin-right:1rem!important}.query img{border-color:var(--soft)}.right img{border-color:#1a9850}.wrong img{border-color:#d73027}
figcaption{font-size:11px;color:var(--soft)}
dt{font-weight:600}dd{margin:0 0 .4rem}code{font-size:.9em;overflow-wrap:anywhere}
@media(max-width:600px){svg .tick{font-size:14px}th,td{padding:.3rem .4rem;font-size:.85rem}.row img{width:64px;height:64px}.query{margin-right:.4rem!important}}
`
