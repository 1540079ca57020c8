package difftest

const (
	tent  = "products/nordkap-tunnel-tent-2-persons"
	stock = "warehouses/graz/stock/nordkap-tunnel-tent-2-persons"
)
