"""Calls the shop of the demo with a client that openapi-python-client makes of its
OpenAPI document: python client.py ADDRESS
"""

import datetime
import json
import sys

from shop import AuthenticatedClient, Client
from shop.api.catalog_service import (
    catalog_service_delete_product,
    catalog_service_get_product,
    catalog_service_search_products,
)
from shop.api.inventory_service import inventory_service_watch_stock
from shop.api.orders_service import orders_service_create_order, orders_service_update_order
from shop.models import (
    AddressInput,
    CatalogServiceSearchProductsAttributes,
    ErrorResponse,
    Money,
    Order,
    OrderCard,
    OrderCardInput,
    OrderInput,
    OrderLabels,
    OrderLineInput,
    OrderPatch,
    OrderPatchLabelsType0,
    Product,
    ProductState,
    SearchProductsResponse,
    WatchStockResponse,
)

address = sys.argv[1]
anyone = Client(base_url=address)
staff = AuthenticatedClient(base_url=address, token="demo-staff", prefix="", auth_header_name="x-api-key")
warehouse = AuthenticatedClient(base_url=address, token="demo-warehouse", prefix="", auth_header_name="x-api-key")
since = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def read() -> None:
    """A product by path and query, and the same found by query alone."""
    product = catalog_service_get_product.sync("enamel-mug-blue", client=anyone, currency="EUR")
    assert isinstance(product, Product), product  # or an ErrorResponse
    assert isinstance(product.price, Money) and isinstance(product.create_time, datetime.datetime)
    print(product.name, product.state, product.price.units, product.create_time.strftime("%Y-%m-%dT%H:%M:%SZ"))
    print("sent as", "parcel" if product.parcel else "download")

    found = catalog_service_search_products.sync(
        client=anyone,
        states=[ProductState.STATE_ACTIVE, ProductState.STATE_DRAFT],
        price_min="10",
        created_after=since,
        attributes=entries("attributes", {"colour": "blue", "material": "enamelled steel"}),
    )
    assert isinstance(found, SearchProductsResponse), found
    for result in found.results or []:
        assert isinstance(result.product, Product)
        print("found", result.product.name)


def entries(name: str, values: dict[str, str]) -> CatalogServiceSearchProductsAttributes:
    """The generator sends the keys of a map as the names of parameters."""
    return CatalogServiceSearchProductsAttributes.from_dict({f"{name}[{key}]": value for key, value in values.items()})


def order() -> None:
    """An order is placed, sent again with the same idempotency key, and changed."""
    body = OrderInput(
        lines=[OrderLineInput(product="products/enamel-mug-blue", quantity=2)],
        ship_to=AddressInput(recipient="Björn Lund", street_lines=["Storgatan 1"], city="Kiruna", country="SE"),
        card=OrderCardInput(last_four="4242"),  # at most one of card, transfer, gift_card
        gift_wrap=True,
    )
    placed = orders_service_create_order.sync("bjorn-lund", client=staff, body=body, idempotency_key="python-1")
    again = orders_service_create_order.sync("bjorn-lund", client=staff, body=body, idempotency_key="python-1")
    assert isinstance(placed, Order) and isinstance(again, Order), placed
    assert isinstance(placed.total, Money) and isinstance(placed.card, OrderCard) and isinstance(placed.name, str)
    print("order", placed.state, placed.total.units, placed.card.last_four, "once" if placed.name == again.name else "twice")

    patch = OrderPatch(gift_wrap=None, labels=OrderPatchLabelsType0.from_dict({"for": "Tove"}))
    changed = orders_service_update_order.sync(placed.name.removeprefix("orders/"), client=staff, body=patch)
    assert isinstance(changed, Order) and isinstance(changed.labels, OrderLabels), changed
    print("changed", changed.labels["for"], "wrapped" if changed.gift_wrap else "plain")


def refused() -> None:
    """A key that may not delete products."""
    failed = catalog_service_delete_product.sync("enamel-mug-blue", client=warehouse)
    assert isinstance(failed, ErrorResponse) and failed.error.details, failed
    print(failed.error.code, failed.error.status, failed.error.details[0]["reason"])


def watch() -> None:
    """A stream: one JSON document a line."""
    request = inventory_service_watch_stock._get_kwargs(
        "kassel", "nordkap-tunnel-tent-2-persons", since=since, max_movements=3
    )
    with anyone.get_httpx_client().stream(**request) as answer:
        for line in answer.iter_lines():
            movement = WatchStockResponse.from_dict(json.loads(line)).movement
            assert movement
            print("moved", movement.delta, movement.reason)


read()
order()
refused()
watch()
