// Calls the shop of the demo with types that openapi-typescript makes of its OpenAPI
// document: node out/client.js ADDRESS
import createClient from "openapi-fetch";
import type { components, paths } from "./shop.js";

const address = process.argv[2]!;
const shop = createClient<paths>({ baseUrl: address });
const staff = { "x-api-key": "demo-staff" };

// A product by path and query, and the same found by query alone.
async function read() {
  const { data: product, error } = await shop.GET("/v1/products/{product}", {
    params: { path: { product: "enamel-mug-blue" }, query: { currency: "EUR" } },
  });
  if (error) throw new Error(error.error.message);
  console.log(product.name, product.state, product.price?.units, product.createTime);
  console.log("sent as", product.parcel ? "parcel" : "download");

  const states: components["schemas"]["Product.State"][] = ["STATE_ACTIVE", "STATE_DRAFT"];
  const found = await shop.GET("/v1/products:search", {
    params: {
      query: {
        states,
        "price.min": "10",
        createdAfter: "2026-01-01T00:00:00Z",
        attributes: { colour: "blue", material: "enamelled steel" },
      },
    },
  });
  for (const result of found.data?.results ?? []) console.log("found", result.product?.name);
}

// An order is placed, sent again with the same idempotency key, and changed.
async function order() {
  const body: components["schemas"]["OrderInput"] = {
    lines: [{ product: "products/enamel-mug-blue", quantity: 2 }],
    shipTo: { recipient: "Björn Lund", streetLines: ["Storgatan 1"], city: "Kiruna", country: "SE" },
    card: { lastFour: "4242" }, // at most one of card, transfer, giftCard
    giftWrap: true,
  };
  const place = () =>
    shop.POST("/v1/customers/{customer}/orders", {
      params: { path: { customer: "bjorn-lund" }, header: { "Idempotency-Key": "typescript-1" } },
      headers: staff,
      body,
    });
  const { data: placed } = await place();
  const { data: again } = await place();
  if (!placed?.name) throw new Error("no order");
  console.log("order", placed.state, placed.total?.units, placed.card?.lastFour, placed.name === again?.name ? "once" : "twice");

  const { data: changed } = await shop.PATCH("/v1/orders/{order}", {
    params: { path: { order: placed.name.slice("orders/".length) } },
    headers: staff,
    body: { giftWrap: null, labels: { for: "Tove" } },
  });
  console.log("changed", changed?.labels?.["for"], changed?.giftWrap ? "wrapped" : "plain");
}

// A key that may not delete products.
async function refused() {
  const { error } = await shop.DELETE("/v1/products/{product}", {
    params: { path: { product: "enamel-mug-blue" } },
    headers: { "x-api-key": "demo-warehouse" },
  });
  console.log(error?.error.code, error?.error.status, error?.error.details?.[0]?.["reason"]);
}

// A stream: one JSON document a line.
async function watch() {
  const { data: body } = await shop.GET("/v1/warehouses/{warehouse}/stock/{product}:watch", {
    params: {
      path: { warehouse: "kassel", product: "nordkap-tunnel-tent-2-persons" },
      query: { since: "2026-01-01T00:00:00Z", maxMovements: 3 },
    },
    parseAs: "stream",
  });
  let rest = "";
  for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const { movement } = JSON.parse(line) as components["schemas"]["WatchStockResponse"];
      console.log("moved", movement?.delta, movement?.reason);
    }
  }
}

await read();
await order();
await refused();
await watch();
