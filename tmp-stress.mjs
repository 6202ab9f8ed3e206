import { getLlama } from "node-llama-cpp";
import fs from "node:fs";
const mode = process.argv[2], N = Number(process.argv[3] ?? 60);
const llama = await getLlama({build:"never", skipDownload:true, gpu:false, progressLogs:false, logLevel: "error", maxThreads: 0});
const model = await llama.loadModel({modelPath: "model-settings/tiny-chat/tiny-chat.gguf"});
const opts = {contextSize:1024, sequences:4, threads:1};
if (mode === "sort") opts.batching = { itemPrioritizationStrategy: ({items,size}) => {
  let left=size; const out=[]; for (const item of [...items].sort((a,b)=>a.tokens.length-b.tokens.length)) { const n=Math.min(left,item.tokens.length); if(n>0) out.push({item, processAmount:n}); left-=n; } return out; } };
const ctx = await model.createContext(opts);
if (mode === "serial") { const ctx_ = ctx._ctx, orig = ctx_.sampleToken.bind(ctx_); let last = Promise.resolve(); ctx_.sampleToken = (...a) => { const p = last.then(()=>orig(...a)); last = p.catch(()=>{}); return p; }; }
const cases = JSON.parse(fs.readFileSync("tests/fixtures/tiny-chat-cases.json","utf8")).cases.filter(c=>c.min_top2_logit_margin>=3);
const seqs = Array.from({length:4},()=>ctx.getSequence());
let bad=0,total=0; const queue=[];
for (let i=0;i<N;i++) for (const c of cases) queue.push(c);
const t=performance.now();
await Promise.all(seqs.map(async (s)=>{ let c; while((c=queue.shift())) { const toks=model.tokenize(c.prompt,true); let k=0; while(k<toks.length-1 && s.contextTokens[k]===toks[k]) k++;
 if (process.argv[4]==="adapt") await s.adaptStateToTokens(toks.slice(0,k), false); else if (process.argv[4]==="erase") await s.eraseContextTokenRanges([{start:k,end:s.nextTokenIndex}]); else { k=0; await s.clearHistory(); }
 const out=[]; for await (const tok of s.evaluate(toks.slice(k))) out.push(tok); total++; if (model.detokenize(out)!==c.text) {bad++; if(bad<4) console.log(c.id, model.detokenize(out));} } }));
console.log(mode, {bad,total, ms: performance.now()-t});
await model.dispose();
