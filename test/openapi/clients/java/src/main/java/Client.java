import java.time.OffsetDateTime;
import java.util.List;
import java.util.Map;
import okhttp3.Response;
import shop.ApiClient;
import shop.ApiException;
import shop.JSON;
import shop.api.*;
import shop.model.*;

/** Calls the shop of the demo with a client that openapi-generator makes of its OpenAPI document. */
public class Client {
  private static final OffsetDateTime SINCE = OffsetDateTime.parse("2026-01-01T00:00:00Z");

  public static void main(String[] args) throws Exception {
    read(new CatalogServiceApi(client(args[0], null)));
    order(new OrdersServiceApi(client(args[0], "demo-staff")));
    refused(new CatalogServiceApi(client(args[0], "demo-warehouse")));
    watch(new InventoryServiceApi(client(args[0], null)));
  }

  static ApiClient client(String address, String key) {
    ApiClient client = new ApiClient().setBasePath(address);
    client.setApiKey(key);
    return client;
  }

  /** A product by path and query, and the same found by query alone. */
  static void read(CatalogServiceApi catalog) throws ApiException {
    Product product = catalog.catalogServiceGetProduct("enamel-mug-blue", "EUR");
    System.out.println(String.join(" ", product.getName(), product.getState().getValue(), product.getPrice().getUnits(),
        product.getCreateTime().toInstant().toString()));
    System.out.println("sent as " + (product.getParcel() != null ? "parcel" : "download"));

    // The generator sends the keys of a map as the names of parameters.
    Map<String, String> attributes = Map.of("attributes[colour]", "blue", "attributes[material]", "enamelled steel");
    List<ProductState> states = List.of(ProductState.STATE_ACTIVE, ProductState.STATE_DRAFT);
    SearchProductsResponse found = catalog.catalogServiceSearchProducts(null, null, states, "10", null, null, null, attributes, SINCE, null, null);
    for (SearchProductsResponseResult result : found.getResults()) {
      System.out.println("found " + result.getProduct().getName());
    }
  }

  /** An order is placed, sent again with the same idempotency key, and changed. */
  static void order(OrdersServiceApi orders) throws ApiException {
    OrderInput input = new OrderInput()
        .addLinesItem(new OrderLineInput().product("products/enamel-mug-blue").quantity(2L))
        .shipTo(new AddressInput().recipient("Björn Lund").addStreetLinesItem("Storgatan 1").city("Kiruna").country("SE"))
        .card(new OrderCardInput().lastFour("4242")) // at most one of card, transfer, giftCard
        .giftWrap(true);
    Order placed = orders.ordersServiceCreateOrder("bjorn-lund", input, "java-1");
    Order again = orders.ordersServiceCreateOrder("bjorn-lund", input, "java-1");
    System.out.println("order " + placed.getState() + " " + placed.getTotal().getUnits() + " " + placed.getCard().getLastFour()
        + " " + (placed.getName().equals(again.getName()) ? "once" : "twice"));

    String id = placed.getName().substring("orders/".length());
    OrderPatch patch = new OrderPatch().putLabelsItem("for", "Tove"); // the mask clears giftWrap: null is not sent
    Order changed = orders.ordersServiceUpdateOrder(id, patch, "labels,giftWrap");
    System.out.println("changed " + changed.getLabels().get("for") + " " + (changed.getGiftWrap() != null ? "wrapped" : "plain"));
  }

  /** A key that may not delete products. */
  static void refused(CatalogServiceApi catalog) {
    try {
      catalog.catalogServiceDeleteProduct("enamel-mug-blue", null, null);
    } catch (ApiException e) {
      ErrorResponse failed = JSON.deserialize(e.getResponseBody(), ErrorResponse.class);
      ErrorBody error = failed.getError();
      System.out.println(error.getCode() + " " + error.getStatus() + " " + error.getDetails().get(0).getAdditionalProperty("reason"));
    }
  }

  /** A stream: one JSON document a line. */
  static void watch(InventoryServiceApi inventory) throws Exception {
    try (Response answer = inventory.inventoryServiceWatchStockCall("kassel", "nordkap-tunnel-tent-2-persons", SINCE, 3, null).execute()) {
      for (String line; (line = answer.body().source().readUtf8Line()) != null; ) {
        WatchStockResponse moved = JSON.deserialize(line, WatchStockResponse.class);
        System.out.println("moved " + moved.getMovement().getDelta() + " " + moved.getMovement().getReason());
      }
    }
  }
}
