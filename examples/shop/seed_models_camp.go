package shop

// campGear is for the kitchen and for the rock.
var campGear = []model{
	{
		label: "Kindle Gas Stove", shelf: "kitchen", attribute: "version",
		material: "steel and brass", origin: "South Korea", tags: "stove gas light",
		cents: 5900, grams: 95,
		variants: []variant{{"plain", 0}, {"with igniter", 1200}, {"with wind shield", 2400}},
		text: "It weighs as much as a bar of chocolate, boils a litre in three minutes and stands on three " +
			"legs that fold out wider than the pot. The valve turns slowly, so that you can simmer rice.",
	},
	{
		label: "Tinder Wood Stove", shelf: "kitchen", attribute: "size",
		material: "stainless steel", origin: "Germany", tags: "stove wood robust",
		cents: 7900, grams: 640,
		variants: []variant{{"solo", 0}, {"duo", 2000}, {"group", 4500}},
		text: "It burns twigs and cones with hardly any smoke, because the air goes up between its two " +
			"walls and comes in hot at the top. Flat as a plate when it is packed.",
	},
	{
		label: "Trail Pot", shelf: "kitchen", attribute: "volume",
		material: "hard anodised aluminium", origin: "Taiwan", tags: "pot light cook",
		cents: 3900, grams: 190,
		variants: []variant{{"0.9 litres", 0}, {"1.4 litres", 600}, {"2 litres", 1200}},
		text: "A pot with a ring of fins below that catch the flame, a lid that strains and a handle that " +
			"locks. The gas cartridge goes inside for the way, and the marks in it are those that recipes " +
			"use.",
	},
	{
		label: "Enamel Mug", shelf: "kitchen", attribute: "colour",
		material: "enamelled steel", origin: "Poland", tags: "mug robust classic",
		cents: 1400, grams: 150,
		variants: []variant{{"cream", 0}, {"blue", 0}, {"green", 0}},
		text: "It can stand on the fire, fall on rocks and be passed around. The chips it gets are its " +
			"diary. Holds a third of a litre of coffee, half a packet of nails or the toothbrushes of a " +
			"family, and hangs by its handle on anything that has a hook.",
	},
	{
		label: "Spork Pair", shelf: "kitchen", attribute: "material",
		material: "titanium", origin: "Taiwan", tags: "cutlery light titanium",
		cents: 2400, grams: 34,
		variants: []variant{{"short", 0}, {"long", 400}, {"coloured", 300}},
		text: "Spoon on one side and fork on the other, in a length that reaches the bottom of a bag of " +
			"travel food. There are two of them, since one is always lost.",
	},
	{
		label: "Water Filter Spring", shelf: "kitchen", attribute: "version",
		material: "hollow fibre", origin: "Switzerland", tags: "filter water travel",
		cents: 6900, grams: 160,
		variants: []variant{{"squeeze", 0}, {"gravity", 3500}, {"pump", 5500}},
		text: "It takes out bacteria and protozoa, not salt, not fuel and not viruses, and we would rather " +
			"tell you now. A litre takes a minute by hand or no effort at all on a branch.",
	},
	{
		label: "Summit Rope", shelf: "climbing", attribute: "length",
		material: "polyamide, dry treated", origin: "Czechia", tags: "rope single dry",
		cents: 16900, grams: 3600,
		variants: []variant{{"50 m", 0}, {"60 m", 2800}, {"70 m", 5600}},
		text: "A single rope of 9.6 millimetres, rated for eight falls and in our hands good for more. The " +
			"middle is woven in another pattern that you can feel in the dark.",
	},
	{
		label: "Wren Harness", shelf: "climbing", attribute: "size",
		material: "polyamide webbing", origin: "Italy", tags: "harness climbing allround",
		cents: 8900, grams: 420,
		variants: []variant{{"XS-S", 0}, {"M", 0}, {"L-XL", 0}},
		text: "A harness that is comfortable to hang in while your partner thinks. Four buckles let it fit " +
			"over trousers in January and shorts in July, four loops carry a full rack, and the tie-in " +
			"points are lined with a red yarn that shows when they are worn.",
	},
	{
		label: "Keystone Helmet", shelf: "climbing", attribute: "size",
		material: "EPP foam, polycarbonate", origin: "Slovenia", tags: "helmet climbing light",
		cents: 7900, grams: 245,
		variants: []variant{{"48-56 cm", 0}, {"53-61 cm", 0}, {"56-63 cm", 0}},
		text: "Tested for blows from above, from the front, from behind and from the sides, which the " +
			"standard does not ask for. You set it with one wheel and forget that you wear it.",
	},
	{
		label: "Quickdraw Set Alp", shelf: "climbing", attribute: "length",
		material: "aluminium, Dyneema", origin: "Wales", tags: "quickdraws sport light",
		cents: 9900, grams: 540,
		variants: []variant{{"12 cm", 0}, {"17 cm", 400}, {"25 cm", 900}},
		text: "Six quickdraws with a wire gate at the rope and a keylock at the bolt, so that nothing snags " +
			"where you are in a hurry. The gates open far enough for a cold hand.",
	},
}
