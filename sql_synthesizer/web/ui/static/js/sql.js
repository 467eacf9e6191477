// A tokenizer just good enough to colour SQL and to break it into lines.

import { el } from "./dom.js";

const KEYWORDS = new Set(
  `all and any as asc between by case cast cross current_date current_timestamp desc distinct else end escape except
   exists extract false fetch filter first following from full group having ilike in inner intersect interval is join
   last lateral left like limit natural not null nulls offset on or order outer over partition preceding range recursive
   right rows select similar some then to true unbounded union using values when where window with`.split(/\s+/),
);
const CLAUSES = new Set(
  "from where group having order limit offset union intersect except join left right inner cross full natural fetch".split(
    " ",
  ),
);
const JOIN_WORDS = new Set(["left", "right", "inner", "cross", "full", "natural", "outer"]);

const TOKEN = new RegExp(
  [
    "(?<comment>--[^\\n]*|/\\*[\\s\\S]*?(?:\\*/|$))",
    "(?<string>'(?:[^']|'')*(?:'|$))",
    '(?<name>"(?:[^"]|"")*(?:"|$)|`[^`]*(?:`|$)|\\[[^\\]]*\\])',
    "(?<number>\\b\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?\\b)",
    "(?<word>[\\p{L}_][\\p{L}\\p{N}_$]*)",
    "(?<space>\\s+)",
    "(?<other>[\\s\\S])",
  ].join("|"),
  "gu",
);

/** Tokens `{kind, text}`; joined, their texts are `sql` again. */
export function tokenize(sql) {
  const tokens = [];
  for (const match of sql.matchAll(TOKEN)) {
    const [kind] = Object.entries(match.groups).find(([, text]) => text !== undefined);
    tokens.push({ kind, text: match[0] });
  }
  tokens.forEach((token, at) => {
    if (token.kind !== "word") return;
    const called = tokens[at + 1]?.text === "(";
    if (KEYWORDS.has(token.text.toLowerCase())) token.kind = "keyword";
    else if (called) token.kind = "function";
    else token.kind = "name";
  });
  return tokens;
}

// A statement on one line is easier to read with each clause on a line of its own.
function withBreaks(tokens) {
  if (tokens.some((token) => token.text.includes("\n")) || tokens.length < 20) return tokens;
  let depth = 0;
  let previous = "";
  return tokens.map((token, at) => {
    if (token.text === "(") depth += 1;
    if (token.text === ")") depth -= 1;
    const following = (tokens[at + 1]?.text ?? "").toLowerCase();
    if (token.kind !== "space") {
      previous = token.text.toLowerCase();
      return token;
    }
    const breaks = depth === 0 && CLAUSES.has(following) && !JOIN_WORDS.has(previous) && tokens[at + 2]?.text !== "(";
    return breaks ? { kind: "space", text: "\n" } : token;
  });
}

/** A `code` element with coloured tokens. */
export function highlighted(sql) {
  const code = el("code");
  for (const { kind, text } of withBreaks(tokenize(sql))) {
    const plain = kind === "space" || kind === "other" || kind === "name";
    code.append(plain ? text : el("span", { class: `sql-${kind}` }, text));
  }
  return code;
}
