package shop

// opinion is what someone thought.
type opinion struct {
	rating      int32
	title, body string
}

func opinions() []opinion {
	return []opinion{
		{5, "Would buy it again tomorrow", "Two weeks in Lapland, rain on nine days of them, and not once did I wish for anything else."},
		{5, "Built to last", "Every seam is clean and every buckle closes with gloves on. My old one was twice the price."},
		{5, "Does what it says", "No surprises, no missing parts, and the leaflet is written by someone who has used the thing."},
		{4, "Very good, could be lighter", "I weighed it and it is forty grams over what the label says. Otherwise I have no complaints."},
		{4, "Good value", "There are better ones, but not for this money. The stitching held a whole season of weekends."},
		{4, "Nearly perfect", "One more pocket and I would give it five stars. The colour is darker than in the pictures."},
		{3, "Fine for the garden", "It is all right when the weather is. I would not take it above the tree line in October."},
		{3, "Size runs small", "Order one size up. The shop exchanged it without questions, but it cost me a week."},
		{2, "Zip broke on the second trip", "Everything else is well made, which makes it all the more annoying."},
		{1, "Came with a tear", "Not what I expect from this shop. The parcel itself had no damage at all."},
	}
}

func nicknames() []string {
	return []string{"marmot42", "wet socks", "Ridge Walker", "nachtzug", "Señor Mochila", "тропа", "slow & steady 🐢"}
}
