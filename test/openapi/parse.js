// Validates documents with swagger-parser: node parse.js FILE...
const parser = require("@apidevtools/swagger-parser");

(async () => {
  for (const file of process.argv.slice(2)) {
    await parser.validate(file);
  }
})().catch((err) => {
  console.error(String(err));
  process.exit(1);
});
