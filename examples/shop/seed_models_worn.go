package shop

// wornAndCarried is what one puts on: packs, clothes and shoes.
var wornAndCarried = []model{
	{
		label: "Traverse Trekking Pack", shelf: "packs", attribute: "volume",
		material: "Cordura 500", origin: "Latvia", tags: "pack trekking carry",
		cents: 24900, grams: 1950,
		variants: []variant{{"55 litres", 0}, {"65 litres", 2000}, {"80 litres", 4500}},
		text: "A pack for a week with a tent, with a back that is set to your length in one movement while " +
			"you wear it. The hip belt is made of two foams and comes off to be washed.",
	},
	{
		label: "Swift Day Pack", shelf: "packs", attribute: "volume",
		material: "recycled nylon", origin: "Vietnam", tags: "pack day light",
		cents: 8900, grams: 680,
		variants: []variant{{"18 litres", 0}, {"24 litres", 1000}, {"30 litres", 2000}},
		text: "Big enough for bread, a jacket and a book, small enough for the luggage rack. The back is a " +
			"mesh that keeps the air moving, the pocket in the lid holds a wallet and a map, and the " +
			"bottle can be taken out without putting the pack down, which we tested on people with short " +
			"arms.",
	},
	{
		label: "Fjord Dry Bag", shelf: "packs", attribute: "volume",
		material: "PVC-free tarpaulin", origin: "Sweden", tags: "bag waterproof canoe",
		cents: 3400, grams: 310,
		variants: []variant{{"10 litres", 0}, {"20 litres", 700}, {"40 litres", 1800}},
		text: "Rolled three times and clipped shut it keeps out rain, spray and the short bath of a " +
			"capsize. The seams are welded, the ring at the bottom is there to tie it to the boat.",
	},
	{
		label: "Porter Duffel", shelf: "packs", attribute: "volume",
		material: "tarpaulin, 900 denier", origin: "Sweden", tags: "bag travel robust",
		cents: 12900, grams: 1420,
		variants: []variant{{"40 litres", 0}, {"70 litres", 2500}, {"110 litres", 5500}},
		text: "What expeditions send ahead by mule, bus and cargo plane. Two straps make it a pack for the " +
			"last hundred metres, the lid opens in a wide D, and the zip takes a padlock.",
	},
	{
		label: "Gale Shell Jacket", shelf: "clothing", attribute: "size",
		material: "three-layer membrane", origin: "Estonia", tags: "jacket rain storm",
		cents: 32900, grams: 480,
		variants: []variant{{"S", 0}, {"M", 0}, {"L", 0}},
		text: "A shell for those who go out when others come in. The hood fits over a helmet and turns with " +
			"the head, the pockets stay free above a hip belt, and the zips under the arms open as far as " +
			"the elbow.",
	},
	{
		label: "Lodestar Down Jacket", shelf: "clothing", attribute: "size",
		material: "goose down, ripstop", origin: "Lithuania", tags: "jacket down warm",
		cents: 27900, grams: 390,
		variants: []variant{{"S", 0}, {"M", 0}, {"L", 0}},
		text: "Warm enough for an evening at the hut door in February and small enough to live at the " +
			"bottom of the pack from September on.",
	},
	{
		label: "Tern Merino Shirt", shelf: "clothing", attribute: "size",
		material: "merino wool, 180 g", origin: "Portugal", tags: "shirt wool base",
		cents: 7900, grams: 210,
		variants: []variant{{"S", 0}, {"M", 0}, {"L", 0}},
		text: "Wool from sheep that are not mulesed, knitted in one piece at the sides so that no seam lies " +
			"under the straps of a pack. You can wear it for five days before anyone says something.",
	},
	{
		label: "Scree Trousers", shelf: "clothing", attribute: "size",
		material: "cotton and polyester", origin: "Latvia", tags: "trousers trekking robust",
		cents: 13900, grams: 560,
		variants: []variant{{"48", 0}, {"50", 0}, {"52", 0}},
		text: "Trousers for thickets, rocks and the workshop. Knees and seat are double, and the knees take " +
			"a pad from inside for those who kneel in wet moss to take pictures.",
	},
	{
		label: "Squall Rain Trousers", shelf: "clothing", attribute: "size",
		material: "two-layer membrane", origin: "Estonia", tags: "trousers rain light",
		cents: 11900, grams: 290,
		variants: []variant{{"S", 0}, {"M", 0}, {"L", 0}},
		text: "The zips go all the way up, so that you can put them on without taking off your boots, " +
			"standing on one leg, in the wind, which is when you need them.",
	},
	{
		label: "Fleece Nuthatch", shelf: "clothing", attribute: "size",
		material: "recycled fleece", origin: "Czechia", tags: "jacket fleece warm",
		cents: 8900, grams: 340,
		variants: []variant{{"S", 0}, {"M", 0}, {"L", 0}},
		text: "The jacket that ends up being worn at home. Thick where you are cold and thin under the " +
			"arms, with a collar that is lined with something softer.",
	},
	{
		label: "Wool Cap Siskin", shelf: "clothing", attribute: "colour",
		material: "lambswool", origin: "Scotland", tags: "cap wool warm",
		cents: 2900, grams: 80,
		variants: []variant{{"moss", 0}, {"rust", 0}, {"slate", 0}},
		text: "Knitted on old machines in a valley where it rains on two hundred days, by people who know " +
			"what a cap is for. It covers the ears, does not slip and fits under a helmet.",
	},
	{
		label: "Ridge Trekking Boots", shelf: "footwear", attribute: "size",
		material: "nubuck, natural rubber", origin: "Slovenia", tags: "boots leather trekking",
		cents: 25900, grams: 1480,
		variants: []variant{{"41", 0}, {"43", 0}, {"45", 0}},
		text: "One piece of leather with one seam, where nothing can let in water because there is nothing " +
			"there. The sole can be replaced twice, and the cobbler who does it is three doors from the " +
			"shop.",
	},
	{
		label: "Brook Approach Shoes", shelf: "footwear", attribute: "size",
		material: "suede, climbing rubber", origin: "Italy", tags: "shoes approach rock",
		cents: 14900, grams: 820,
		variants: []variant{{"41", 0}, {"43", 0}, {"45", 0}},
		text: "For the way to the rock, and for the easy metres at its foot. The toe has an edge that " +
			"stands on a fingernail, the heel brakes in gravel, and the laces go down to the toes so that " +
			"you can tie them tighter when it gets steep.",
	},
	{
		label: "Marsh Rubber Boots", shelf: "footwear", attribute: "size",
		material: "natural rubber", origin: "Finland", tags: "boots rubber wet",
		cents: 9900, grams: 1900,
		variants: []variant{{"41", 0}, {"43", 0}, {"45", 0}},
		text: "Tall enough for a brook and soft enough to squat in. The rubber is that of trees and stays " +
			"supple at twenty below, the lining comes out to be dried by the stove, and the sole throws " +
			"off the mud that others carry home.",
	},
	{
		label: "Camp Sandals", shelf: "footwear", attribute: "size",
		material: "recycled webbing", origin: "Portugal", tags: "sandals light camp",
		cents: 6900, grams: 520,
		variants: []variant{{"39", 0}, {"42", 0}, {"45", 0}},
		text: "What you put on when the boots come off. Three straps can be set with one hand, the bed of " +
			"cork and rubber takes the shape of the foot in a week, and they float, as more than one " +
			"owner has found out.",
	},
}
