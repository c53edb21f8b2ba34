"""The paraphrase grammar of the support-intent data set: data only, read by `generator`.

A template is plain text with two marks: `[a|b|]` takes one of the alternatives (one may be empty), and `{slot}` takes a
value of that slot. Marks do not nest. The templates of an intent are grouped into families: a family is one of the
situations in which customers have this intent. A training recipe can leave a family out (see `recipes`), which is how
real training sets lose part of a class.
"""

OUT_OF_SCOPE = "out_of_scope"

SLOTS: dict[str, tuple[str, ...]] = {
    "product": (
        "headphones", "coffee machine", "running shoes", "backpack", "desk lamp", "keyboard", "winter jacket",
        "blender", "phone case", "monitor", "rain coat", "office chair", "smart watch", "water bottle", "tent",
        "sleeping bag", "camera", "tablet", "speaker", "toaster", "vacuum cleaner", "electric kettle", "bike helmet",
        "yoga mat", "game controller", "bookshelf", "garden hose", "wool sweater", "frying pan", "router",
    ),
    "day": (
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "last week", "the weekend",
        "two days ago", "three weeks ago", "yesterday",
    ),
    "month": (
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
        "november", "december",
    ),
    "plan": ("basic plan", "family plan", "premium plan", "monthly box", "yearly plan", "student plan"),
    "city": (
        "berlin", "lyon", "madrid", "leeds", "dublin", "oslo", "porto", "vienna", "ghent", "turin", "boston", "denver",
    ),
    "card": ("visa card", "credit card", "debit card", "bank transfer", "gift card", "mastercard"),
    "device": ("phone", "laptop", "work computer", "new phone", "browser", "old tablet"),
    "topic": (
        "football", "the weather", "chess", "a poem", "the election", "quantum physics", "gardening", "my horoscope",
        "a song", "mountain hikes", "jazz", "train times",
    ),
}  # fmt: skip

# intent -> family -> templates. All families of an intent are equally frequent; so are all intents but OUT_OF_SCOPE.
INTENTS: dict[str, dict[str, tuple[str, ...]]] = {
    "order_status": {
        "where": (
            "where is my order {order}",
            "[when|on which day] will [order {order}|my {product}|the {product} i ordered] [arrive|get here]",
            "where [is|are] the {product} i ordered [on|back on] {day}",
        ),
        "tracking": (
            "the tracking [page|link|number] for {order} [shows nothing|has not moved since {day}|is empty]",
            "[can you|please] track [my parcel|my package|the shipment] {order}",
            "[what is|give me] the delivery status of [order {order}|my {product}]",
        ),
        "late": (
            "my {product} was due {day} and [is still not here|nothing came]",
            "order {order} is [late|overdue|delayed], [any news|what is going on|how much longer]",
            "[still waiting|i am still waiting] for [the {product}|order {order}] since {day}",
        ),
        "courier": (
            "the [driver|courier] [never came|did not show up] with my {product} on {day}",
            "has the [courier|carrier] picked up [order {order}|the {product}] [yet|already]",
        ),
    },
    "cancel_order": {
        "cancel": (
            "[please|i want to|i need to|can you] cancel [order {order}|my order {order}|the {product} order]",
            "cancel the {product} [i ordered|i bought] {day}",
        ),
        "mistake": (
            "i ordered the {product} by [mistake|accident], [stop the order|please cancel it|do not ship it]",
            "i placed {order} twice, [cancel one of them|please remove the second order]",
        ),
        "before_shipping": (
            "can i [still|yet] stop order {order} before [it ships|it leaves|shipping]",
            "do not [send|ship] [the {product}|order {order}], [i changed my mind|i found it cheaper]",
        ),
        "withdraw": (
            "i [withdraw|am withdrawing] from the purchase of the {product} made {day}",
            "[revoke|annul] my purchase {order} [at once|today|before it goes out]",
        ),
    },
    "return_item": {
        "return": (
            "how [do|can] i [return|send back] the {product} [|from order {order}]",
            "i [want|would like] to return [the {product}|order {order}]",
        ),
        "label": (
            "i need a return [label|slip|form] for [the {product}|order {order}]",
            "[where do i|how do i] print the return label [for {order}|for the {product}]",
        ),
        "does_not_fit": (
            "the {product} [does not fit|is too small|is too big], [i want to send it back|how do i exchange it]",
            "wrong size {product} in {order}, [can i swap it|i would like another size]",
        ),
        "drop_off": (
            "which [shop|post office|parcel point] in {city} takes [the {product}|my {product}] back",
            "where in {city} can i [drop off|hand in] the {product} i no longer [want|need]",
        ),
    },
    "refund_status": {
        "when": (
            "when [will i get|do i get] my refund for [the {product}|order {order}]",
            "how long does [the refund|my refund] for {order} take",
        ),
        "missing": (
            "my refund for [the {product}|{order}] has not [arrived|come|shown up] [since {day}|yet]",
            "i sent the {product} back {day} and [still have no refund|the refund is missing]",
        ),
        "amount": (
            "the refund for {order} is [too low|only {amount}|{amount} short]",
            "you refunded {amount} [instead of the full price|but the {product} was more]",
        ),
        "statement": (
            "the {amount} you owe me for {order} [is not on my statement|did not reach my bank]",
            "[nothing|no money] has been credited [for {order}|for the {product}] since {day}",
        ),
    },
    "change_address": {
        "address": (
            "[please change|i need to change|update] the [delivery|shipping] address [of {order}|for my {product}]",
            "i entered the wrong address [for {order}|on order {order}|for the {product}]",
        ),
        "moved": (
            "i [moved|am moving] to {city} [in {month}|{day}], [please update my address|where do i change my address]",
            "my new [home|street] address is in {city}, [change it for {order}|please use it from {month}]",
        ),
        "redirect": (
            "can you [redirect|send] order {order} to [my office|my neighbour|a shop] in {city} instead",
            "deliver the {product} to {city} [instead|and not to my old flat]",
        ),
        "postcode": (
            "the [postcode|house number|street name] on {order} is [wrong|not right|misspelled]",
            "there is a [typo|mistake] in the [postcode|street] [of {order}|where my {product} goes]",
        ),
    },
    "payment_failed": {
        "declined": (
            "my {card} was [declined|rejected|refused] [when i paid for {order}|for the {product}]",
            "payment with {card} [fails|does not go through|keeps failing] [for order {order}|for the {product}]",
        ),
        "error": (
            "the checkout [shows an error|hangs|crashes] when i pay [with my {card}|for the {product}]",
            "i [cannot|can not] pay [for the {product}|for {order}] with my {card}",
        ),
        "charged_twice": (
            "i was charged {amount} twice [for {order}|for the {product}]",
            "{amount} was taken [two times|twice] from my {card}",
        ),
        "three_d": (
            "the bank [confirmation|approval] [window|step] never [opens|finishes] when i buy the {product}",
            "the [secure code|one time code] of my {card} is not accepted [at the till|for {amount}]",
        ),
    },
    "invoice_request": {
        "invoice": (
            "[please send|i need|can i get] [an invoice|a copy of the invoice] for [order {order}|the {product}]",
            "where [can i|do i] download the invoice [of {order}|for {month}]",
        ),
        "company": (
            "[put|please add] our [company name|vat number|tax number] on the invoice [for {order}|of {month}]",
            "the invoice for {order} [has the wrong company|needs our vat number|shows no vat]",
        ),
        "receipt": (
            "i [lost|need] the receipt for [the {product}|{order}]",
            "can you [mail|email] me [a receipt|the bill] for [the {product}|{order}]",
        ),
        "bookkeeping": (
            "my [accountant|bookkeeper|tax office] asks for [papers|proof] of the {amount} spent on the {product}",
            "i need proof of purchase of the {product} for [my taxes|my books|the {month} accounts]",
        ),
    },
    "discount_code": {
        "rejected": (
            "the [discount|promo|voucher] code {code} [does not work|is not accepted|is invalid]",
            "code {code} [gives no discount|is rejected] [on the {product}|at checkout]",
        ),
        "ask": (
            "[do you have|is there] a [discount|coupon|promo code] for [the {product}|new customers|students]",
            "[any|are there any] [vouchers|coupons|offers] [for the {product}|in {month}]",
        ),
        "forgot": (
            "i forgot to [enter|use] [my voucher|the code {code}] [on order {order}|for the {product}]",
            "can you apply {code} to [order {order}|the {product}] afterwards",
        ),
        "newsletter": (
            "you promised {amount} off for [signing up|the newsletter], [where is it|nothing came]",
            "the welcome {amount} off is not [taken off|deducted] [from the {product}|in my basket]",
        ),
    },
    "product_availability": {
        "stock": (
            "[is|are] the {product} [in stock|available|sold out] [|in {city}]",
            "when will the {product} be [back in stock|available again|restocked]",
        ),
        "colour": (
            "do you [have|sell] the {product} in [blue|red|green|black|white|grey]",
            "is there a [smaller|bigger|lighter|cheaper] {product} [in your shop|in stock]",
        ),
        "reserve": (
            "can [you|the {city} shop] [reserve|hold|set aside] a {product} for me [until {day}|]",
            "tell me when the {product} [is back|can be ordered again]",
        ),
        "discontinued": (
            "do you [no longer|still] [carry|make|offer] the {product} i saw in {month}",
            "the {product} [vanished from|is gone from|is not on] your site [since {day}|now]",
        ),
    },
    "damaged_item": {
        "broken": (
            "the {product} [arrived|came] [broken|damaged|cracked|in pieces]",
            "my {product} [from order {order}|delivered {day}] is [broken|scratched|dented]",
        ),
        "missing_part": (
            "[a part|the cable|the lid|the manual] of the {product} [is missing|was not in the box]",
            "order {order} came without [the {product}|a screw|the charger]",
        ),
        "wrong_item": (
            "i [got|received] a {product} instead of [a|the] {product}",
            "you sent the wrong [item|{product}] [in order {order}|on {day}]",
        ),
        "leaking": (
            "the parcel {order} was [soaked|torn open|crushed] when it [came|was handed over]",
            "there is [a dent|a stain|a hole] in the new {product} i unpacked [{day}|just now]",
        ),
    },
    "login_problem": {
        "password": (
            "i [forgot|lost] my password [and the reset mail never comes|on my {device}|, how do i reset it]",
            "the password reset [link|mail] [does not work|never arrives] [on my {device}|since {day}]",
        ),
        "locked": (
            "my account is [locked|blocked] [since {day}|after i changed my {device}]",
            "i [cannot|can not] [log in|sign in] [on my {device}|since {day}]",
        ),
        "two_factor": (
            "the [login code|verification code] [does not arrive|expired] on my {device}",
            "i have a {device} and [lost|no longer have] the [authenticator|second factor]",
        ),
        "kicked_out": (
            "your site [throws|kicks] me out [every minute|again and again] on my {device} since {day}",
            "my {device} [forgets|loses] my session [each time i open the {product} page|since {day}]",
        ),
    },
    "close_account": {
        "delete": (
            "[please delete|i want to delete|how do i delete] my [account|profile] [|by {month}]",
            "[close|remove] my account [in {month}|for good|on {day}|today]",
        ),
        "data": (
            "[erase|delete] all [my personal data|data you hold about me] [by {month}|since {day}|]",
            "i ask for [erasure|deletion] of my data [under gdpr|by law] [before {month}|]",
        ),
        "leaving": (
            "i am [leaving your shop|done with you], [delete my profile|close my account] [in {month}|by {day}|now]",
            "i no longer want [an account|a profile] [with you|here] [after {month}|since {day}|]",
        ),
        "unsubscribe_all": (
            "[forget|remove] me [completely|entirely] [from your systems|everywhere] [by {month}|before {day}|]",
            "i do not want to be [a customer|a member] any more [after {month}|from {day}|]",
        ),
    },
    "subscription_change": {
        "upgrade": (
            "[upgrade|switch|move] me to the {plan} [from {month}|on {day}|]",
            "how do i [change|switch] from the {plan} to the {plan}",
        ),
        "pause": (
            "[pause|suspend|skip] my {plan} [in {month}|until {month}|for {month}]",
            "i want to pause the {plan} [for two months|until {month}|from {day}]",
        ),
        "cancel_plan": (
            "[end|stop|cancel] my {plan} [in {month}|from {month}|on {day}]",
            "do not renew the {plan} [in {month}|next year|after {day}]",
        ),
        "billing_day": (
            "can the {plan} be [billed|debited] on [another day|the first] [from {month}|instead of {day}]",
            "add [one more person|my partner|a seat] to the {plan} [in {month}|from {day}|]",
        ),
    },
    "warranty_claim": {
        "stopped": (
            (
                "my {product} [stopped working|died|broke down] after [{count} months|a year|{count} weeks], "
                "[is it under warranty|i claim the guarantee]"
            ),
            "is the {product} [bought in {month}|from {month}] still under [warranty|guarantee]",
        ),
        "repair": (
            "[where can i|how do i] get the {product} repaired [under warranty|in {city}]",
            "i want to [register|use|claim] the warranty of the {product} [bought in {month}|of {order}]",
        ),
        "length": (
            "how long is the [warranty|guarantee] on the {product}",
            "does the guarantee of the {product} cover [water|the battery|normal wear]",
        ),
        "wear": (
            "the {product} i got in {month} [makes a strange noise|will not charge|overheats] [now|since {day}]",
            "after {count} months the {product} [lost its shape|has a loose part|no longer turns on]",
        ),
    },
    "speak_to_agent": {
        "human": (
            "[let me|i want to|can i] [talk|speak] to [a human|an agent|someone] [about {order}|about the {product}|]",
            "connect me [to|with] [an agent|a real person|your team] [about {order}|on {day}|]",
        ),
        "phone": (
            "[what is|give me] your [phone number|hotline] [in {city}|for {city}|]",
            "[can someone|please] call me back [about {order}|on {day}|about the {product}]",
        ),
        "complaint": (
            "i want to [complain|make a complaint] about [your staff|the service] [in {city}|on {day}]",
            "let me speak to [the manager|your supervisor] [about {order}|about the {product}]",
        ),
        "no_bot": (
            (
                "[enough of this bot|no more robots|this machine is useless], "
                "[get me somebody|i need real help] [for {order}|with my {product}]"
            ),
            "is anybody [there|awake] who can [look at {order}|help with my {product}]",
        ),
    },
    OUT_OF_SCOPE: {
        "chat": (
            "[tell me|what do you know|write something] about {topic} [in {city}|]",
            "[do you like|what do you think of] {topic} [in {month}|]",
        ),
        "travel": (
            "[how far is|what is there to see in] {city} [in {month}|from {city}]",
            "[find me|book me] a [hotel|flight] [in|to] {city} [for {month}|on {day}]",
        ),
        "task": (
            "[translate|write|summarise] {topic} [for my class|into french|in one line] [by {day}|]",
            "[set an alarm|remind me|wake me] [on {day}|in {month}] [for {topic}|]",
        ),
        "other_shop": (
            "[what is|how much is] the price of [milk|petrol|gold] in {city} [in {month}|]",
            "who won the [match|race|game] [on {day}|in {city}]",
        ),
    },
}

# Texts that really are unclear: people who label them disagree. (template, (intent, share of the labellers) ...)
AMBIGUOUS: tuple[tuple[str, tuple[tuple[str, float], ...]], ...] = (
    ("i want my money back for [the {product}|order {order}]", (("return_item", 0.72), ("refund_status", 0.28))),
    ("i do not want [the {product}|order {order}] [anymore|any more]", (("cancel_order", 0.72), ("return_item", 0.28))),
    ("the {product} [does not work|is not working] [|since {day}]", (("damaged_item", 0.7), ("warranty_claim", 0.3))),
    (
        "my code [does not work|is not accepted] [on my {device}|since {day}]",
        (("login_problem", 0.7), ("discount_code", 0.3)),
    ),
    (
        "[stop|please stop] charging me [for the {plan}|{amount}|from {month}]",
        (("subscription_change", 0.68), ("close_account", 0.18), ("payment_failed", 0.14)),
    ),
    (
        "where is my [money|{amount}] [from {order}|for the {product}]",
        (("refund_status", 0.7), ("payment_failed", 0.3)),
    ),
    (
        "i [never got|did not get] the [papers|document] for [the {product}|{order}]",
        (("invoice_request", 0.7), ("damaged_item", 0.3)),
    ),
    (
        "i need to change [order {order}|my order {order}|my {product} order]",
        (("change_address", 0.7), ("cancel_order", 0.3)),
    ),
    (
        "[something is wrong|there is a problem] with [order {order}|my {product} order]",
        (("order_status", 0.68), ("damaged_item", 0.2), ("speak_to_agent", 0.12)),
    ),
    (
        "[can you|could someone] look into [{order}|my {product}] [|today]",
        (("order_status", 0.7), ("speak_to_agent", 0.3)),
    ),
    (
        "i want [out|to leave] [by {month}|from {month}|on {day}]",
        (("close_account", 0.7), ("subscription_change", 0.3)),
    ),
    (
        "replace [the {product}|my {product}] [please|from {order}|bought {day}]",
        (("damaged_item", 0.68), ("return_item", 0.18), ("warranty_claim", 0.14)),
    ),
    (
        "[is there|do you have] anything [cheaper|better] than the {product}",
        (("product_availability", 0.72), ("discount_code", 0.28)),
    ),
    (
        "i was [billed|charged] {amount} [in {month}|on {day}] [and do not know why|for what]",
        (("payment_failed", 0.68), ("invoice_request", 0.32)),
    ),
    (
        "i am not home [on {day}|in {month}], [what now|what happens to {order}]",
        (("change_address", 0.7), ("order_status", 0.3)),
    ),
    ("can you help me with {topic} [|on {day}|and {order}]", ((OUT_OF_SCOPE, 0.7), ("speak_to_agent", 0.3))),
)

OPENERS: tuple[str, ...] = (
    "hi,", "hello,", "good morning,", "hey there,", "dear team,", "sorry to bother you,", "ok so", "um",
    "quick question:", "hope you are well.", "i have been a customer for years and never had this before.",
    "second time i write about this.", "i am writing on behalf of my mother who does not use the internet.",
)  # fmt: skip
CLOSERS: tuple[str, ...] = (
    "thanks", "thank you very much", "please help", "asap", "cheers", "it is urgent", "kind regards",
    "let me know", "i would appreciate a quick answer because i am leaving soon",
    "i already looked at your help pages but could not find anything that fits my case",
)  # fmt: skip
