// The blocks of docs/browser.md.
import { readFileSync } from "node:fs";

const PAGE = new URL("../../docs/browser.md", import.meta.url);

/** The first block in a language below a heading. */
export function block(heading, language) {
  const [, rest] = readFileSync(PAGE, "utf8").split(new RegExp(`\n#+ ${heading}\n`));
  if (rest === undefined) throw new Error(`docs/browser.md has no section ${heading}`);
  const section = rest.split(/\n##+ /)[0];
  const [, text] = section.split(`\`\`\`${language}\n`);
  if (text === undefined) throw new Error(`the section ${heading} has no block in ${language}`);
  return text.split("\n```")[0];
}

/** The text with other addresses. Each that is printed must be there. */
export function withAddresses(text, addresses) {
  // First by names that no address resembles, so that no replacement is replaced itself.
  addresses.forEach(([printed], n) => {
    if (!text.includes(printed)) throw new Error(`${printed} is not printed in ${text}`);
    text = text.replaceAll(printed, `<<${n}>>`);
  });
  addresses.forEach(([, actual], n) => {
    text = text.replaceAll(`<<${n}>>`, () => actual);
  });
  return text;
}
