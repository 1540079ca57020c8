package shop

// wayFinding is light, direction, and paper that is none.
var wayFinding = []model{
	{
		label: "Lantern Glow-worm", shelf: "light", attribute: "power",
		material: "recycled ABS", origin: "Germany", tags: "lantern camp light",
		cents: 4900, grams: 210,
		variants: []variant{{"200 lumens", 0}, {"400 lumens", 1500}, {"800 lumens", 3500}},
		text: "A warm light for the table and a dim red one for the way to the trees, which does not wake " +
			"the neighbours. It hangs, stands and sticks to the car.",
	},
	{
		label: "Headlamp Owl", shelf: "light", attribute: "power",
		material: "aluminium, polycarbonate", origin: "France", tags: "headlamp run climb",
		cents: 6900, grams: 88,
		variants: []variant{{"350 lumens", 0}, {"600 lumens", 2000}, {"1100 lumens", 5000}},
		text: "One large knob that you find with gloves, and nothing that has to be pressed three times. " +
			"The beam is wide near the feet and narrow on the far cairn.",
	},
	{
		label: "Compass Polaris", shelf: "light", attribute: "scale",
		material: "acrylic, steel", origin: "Finland", tags: "compass navigation map",
		cents: 3900, grams: 52,
		variants: []variant{{"1:25,000", 0}, {"1:50,000", 0}, {"global needle", 1800}},
		text: "A base plate with the scales that maps really have, a needle that comes to rest in two " +
			"seconds and a mirror in the lid to look at the summit and the dial at once.",
	},
	{
		label: "Power Bank Beaver", shelf: "light", attribute: "capacity",
		material: "aluminium", origin: "South Korea", tags: "power charge travel",
		cents: 4900, grams: 230,
		variants: []variant{{"5,000 mAh", 0}, {"10,000 mAh", 1500}, {"20,000 mAh", 3500}},
		text: "It charges in two hours, keeps its charge over a winter in the drawer and can stand a rain " +
			"shower with its caps closed. The light that shows what is left has ten steps rather than " +
			"four, because the difference between a quarter and a tenth is whether you can still call.",
	},
	{
		label: "Hiking Map Alps", shelf: "maps", attribute: "sheet",
		material: "PDF, geo-referenced", origin: "Austria", tags: "map alps hiking",
		cents: 1290, grams: 0,
		variants: []variant{{"Karwendel", 0}, {"Silvretta", 0}, {"Dachstein", 0}},
		text: "A map at 1:25,000 with huts, springs, bus stops and the way marks that are on the rocks. " +
			"Made by people who walk it every third year and write down what has slid.",
	},
	{
		label: "Canoe Guide", shelf: "maps", attribute: "region",
		material: "PDF, 140 pages", origin: "Sweden", tags: "guide canoe water",
		cents: 1890, grams: 0,
		variants: []variant{{"Dalsland", 0}, {"Masuria", 0}, {"Mecklenburg", 0}},
		text: "Twenty tours from a day to two weeks, each with its portages, its places for the night and " +
			"what to do when the wind is against you. The authors name the lakes on which they turned " +
			"back, and why.",
	},
	{
		label: "Field Guide", shelf: "maps", attribute: "subject",
		material: "PDF, 220 pages", origin: "England", tags: "guide nature plants",
		cents: 1590, grams: 0,
		variants: []variant{{"Alpine flowers", 0}, {"Birds by ear", 0}, {"Tracks and signs", 0}},
		text: "For those who stop every ten metres. Drawings rather than photographs, because they show " +
			"what to look at, and a key that starts with what a beginner can see.",
	},
}
