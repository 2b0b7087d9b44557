// Judges the document in the file given: by Redocly's recommended rules, and by types that openapi-typescript generates
// and with which a program compiles. Prints what is wrong, as JSON.
import { createConfig, lintFromString } from "@redocly/openapi-core";
import openapiTS, { astToString } from "openapi-typescript";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [file, program, place] = process.argv.slice(2);
const text = readFileSync(file, "utf8");

// All recommended rules, none switched off.
const config = await createConfig({ extends: ["recommended"] });
const problems = await lintFromString({ source: text, absoluteRef: file, config });
const lint = problems.map(({ ruleId, severity, message, location }) => ({
  ruleId, severity, message, at: location.map((place) => place.pointer).join(" "),
}));

writeFileSync(join(place, "chancery.ts"), astToString(await openapiTS(text)));
copyFileSync(program, join(place, "program.ts"));
const options = {
  strict: true, noEmit: false, outDir: place, rootDir: place, target: "ES2022", module: "NodeNext", moduleResolution: "NodeNext",
  lib: ["ES2022", "DOM"], types: [], exactOptionalPropertyTypes: true, skipLibCheck: false,
};
writeFileSync(join(place, "package.json"), '{ "type": "module" }');
writeFileSync(join(place, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["program.ts"] }));
let compiler = "";
try {
  execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", place], { cwd: import.meta.dirname });
} catch (error) {
  compiler = String(error.stdout);
}
console.log(JSON.stringify({ lint, compiler }));
