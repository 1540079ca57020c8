"use strict";

// The page's policy allows styles that have its nonce. Scalar gives it to some only.
const nonce = document.querySelector("meta[property=csp-nonce]").content;
const create = document.createElement;
document.createElement = function (...args) {
	const element = create.apply(this, args);
	if (element.localName === "style") element.nonce = nonce;
	return element;
};

addEventListener("DOMContentLoaded", () => {
	Scalar.createApiReference("#console", {
		// Nothing comes from other hosts, and nothing goes there.
		withDefaultFonts: false,
		telemetry: false,
		proxyUrl: "",
		agent: { disabled: true },
		mcp: { disabled: true },
		showDeveloperTools: "never",
		hideClientButton: true,
		...JSON.parse(document.getElementById("console").dataset.options),
	});
});
