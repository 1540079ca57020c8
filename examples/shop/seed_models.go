package shop

import "slices"

// model is a product before it has a size or a colour.
type model struct {
	label, shelf     string
	attribute        string // what its variants differ in
	material, origin string
	tags             string // separated by spaces
	cents            int64  // price of the first variant
	grams            int64  // weight of the first variant; 0 for a download
	variants         []variant
	text             string
}

// variant is one size or colour of a model.
type variant struct {
	label string
	extra int64 // what it costs on top, in cents
}

// models are all models of the shop.
func models() []model {
	return slices.Concat(sleepingOutside, wornAndCarried, campGear, wayFinding)
}

// sleepingOutside is what one spends the night in and on.
var sleepingOutside = []model{
	{
		label: "Nordkap Tunnel Tent", shelf: "tents", attribute: "capacity",
		material: "ripstop nylon, silicone coated", origin: "Estonia", tags: "tent tunnel storm",
		cents: 54900, grams: 2650,
		variants: []variant{{"2 persons", 0}, {"3 persons", 9000}, {"4 persons", 17000}},
		text: "A tunnel tent for the long way north. Inner and outer tent are pitched in one go, the three " +
			"poles are of one length so that nothing can be mixed up in the dark, and both ends open far " +
			"enough to let the wind through on a summer night.",
	},
	{
		label: "Karst Dome Tent", shelf: "tents", attribute: "capacity",
		material: "polyester, PU coated", origin: "Portugal", tags: "tent dome weekend",
		cents: 28900, grams: 3100,
		variants: []variant{{"2 persons", 0}, {"3 persons", 5000}, {"4 persons", 9000}},
		text: "A dome that stands without pegs, which is what you want on rock, on a jetty or on a terrace " +
			"in town. Two doors and two porches mean that nobody climbs over anybody at night.",
	},
	{
		label: "Bivvy Lark", shelf: "tents", attribute: "size",
		material: "three-layer laminate", origin: "Germany", tags: "bivvy solo light",
		cents: 17900, grams: 620,
		variants: []variant{{"regular", 0}, {"long", 1500}, {"wide", 2500}},
		text: "A bivouac sack with a hoop over the face, so that the fabric does not lie on your nose. It " +
			"breathes better than it looks and packs as small as a loaf of bread.",
	},
	{
		label: "Heron Tarp", shelf: "tents", attribute: "size",
		material: "sil-nylon", origin: "Vietnam", tags: "tarp shelter light",
		cents: 9900, grams: 540,
		variants: []variant{{"3 x 3 m", 0}, {"3 x 4 m", 2000}, {"4 x 4 m", 3500}},
		text: "Nineteen loops around the edge and along the ridge let you pitch it between two trees, over " +
			"a canoe paddle or against a wall. The booklet shows seven ways, and you will find the eighth " +
			"in the first rain.",
	},
	{
		label: "Basecamp Mess Tent", shelf: "tents", attribute: "size",
		material: "cotton and polyester", origin: "Poland", tags: "tent group kitchen",
		cents: 84900, grams: 18500,
		variants: []variant{{"8 persons", 0}, {"12 persons", 22000}, {"16 persons", 39000}},
		text: "Room for a table, two benches and everybody who came along. The walls roll up on all four " +
			"sides and the roof is cotton, so that it stays cool at noon and does not drip when twelve " +
			"people have tea in the evening.",
	},
	{
		label: "Ember Down Bag", shelf: "sleeping", attribute: "comfort",
		material: "duck down, 750 cuin", origin: "Lithuania", tags: "sleepingbag down winter",
		cents: 38900, grams: 980,
		variants: []variant{{"-5 degrees", 0}, {"-12 degrees", 8000}, {"-20 degrees", 18000}},
		text: "Down from two farms that we know by name, in chambers that are wider where you lie and " +
			"narrower where you lose heat. The zip is guarded by a stiff tape and does not eat the " +
			"fabric.",
	},
	{
		label: "Moss Synthetic Bag", shelf: "sleeping", attribute: "length",
		material: "recycled polyester", origin: "Czechia", tags: "sleepingbag synthetic wet",
		cents: 14900, grams: 1350,
		variants: []variant{{"short", 0}, {"regular", 500}, {"long", 1000}},
		text: "Warm even when it is wet, which happens sooner or later in a canoe. The filling is made of " +
			"old bottles, the shell of old fishing nets, and the bag can be washed at home as often as " +
			"you like.",
	},
	{
		label: "Dune Summer Bag", shelf: "sleeping", attribute: "length",
		material: "cotton lining, polyester", origin: "Portugal", tags: "sleepingbag summer hut",
		cents: 7900, grams: 760,
		variants: []variant{{"regular", 0}, {"long", 600}, {"double", 4500}},
		text: "For nights above ten degrees, for mountain huts and for the guest who stays over. It opens " +
			"all the way round and is a blanket then.",
	},
	{
		label: "Raft Air Mat", shelf: "sleeping", attribute: "size",
		material: "nylon, TPU", origin: "Taiwan", tags: "mat inflatable light",
		cents: 11900, grams: 450,
		variants: []variant{{"short", 0}, {"regular", 1500}, {"wide", 2800}},
		text: "Nine centimetres of air in two layers that hold up the hips of those who sleep on their " +
			"side. It takes twelve breaths or one minute with the pump sack that it is packed in.",
	},
	{
		label: "Pebble Foam Mat", shelf: "sleeping", attribute: "size",
		material: "closed-cell foam", origin: "Germany", tags: "mat foam robust",
		cents: 2900, grams: 410,
		variants: []variant{{"half", 0}, {"regular", 800}, {"double", 2600}},
		text: "It cannot leak, it does not squeak and it is a seat, a table, a splint and a sledge if it " +
			"has to be. Folded like a map it hangs under any pack.",
	},
}
