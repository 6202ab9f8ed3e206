interface Page {
  readonly html: string;
  /** Content-Security-Policy: both libraries write styles into the page, and no scripts. */
  readonly policy: string;
}

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
];

/**
 * Swagger UI of an OpenAPI document.
 * @param root the server's prefix.
 * @param url path of the document, without the prefix.
 */
export function swaggerPage(root: string, url: string, title: string): Page {
  const style = `<link rel="stylesheet" href="${escaped(root)}/docs/assets/swagger-ui.css">`;
  const html = page(root, url, title, style, ["swagger-ui-bundle.js", "swagger.js"]);
  return { html, policy: POLICY.join("; ") };
}

/** ReDoc of an OpenAPI document; it searches in a worker made of a blob. */
export function redocPage(root: string, url: string, title: string): Page {
  const policy = [...POLICY, "worker-src blob:", "child-src blob:"].join("; ");
  return { html: page(root, url, title, "", ["redoc.standalone.js", "redoc.js"]), policy };
}

function page(root: string, url: string, title: string, style: string, scripts: readonly string[]): string {
  const prefix = escaped(root);
  const tags = scripts.map((file) => `<script src="${prefix}/docs/assets/${file}"></script>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<link rel="icon" href="${prefix}/docs/assets/favicon-32x32.png">
${style}
</head>
<body data-url="${prefix}${escaped(url)}" style="margin: 0">
<div id="page"></div>
${tags.join("\n")}
</body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", '"': "&quot;", "<": "&lt;", ">": "&gt;" };
const escaped = (text: string) => text.replace(/[&"<>]/g, (sign) => ENTITIES[sign]!);
