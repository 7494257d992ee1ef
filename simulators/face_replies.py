"""What users say besides requests, and all that the system says, in our own words: patterns of `variants`."""

# Before a request that is an order, or else at its end; and with what it answers, by the user's mode.
POLITE = ("", "please", "could you", "can you", "would you please")
PLEASE = ("", ", please")
LEADS = {
    "request": ("",),
    "yes_request": ("yes,", "yes, and", "yes, but", "good, and", "great, now", "perfect, now", "fine, but"),
    "no_request": ("no,", "nope,", "no, rather", "not really,", "no, but", "not quite,"),
}

# Without a request.
ANSWERS = {
    "yes": "(yes|yes, please|yep|yeah|sure|okay|of course|yes, that is good|sounds good|go ahead|that is right)",
    "yes_end": "(yes, that is all|yes, we are done|yes, thank you, that is it|perfect, I am done|yes, it is finished)",
    "no": "(no|nope|nah|no, thank you|not really|no, thanks|I do not think so|rather not|no, not that)",
    "no_end": "(no, that is all|no, I am done|no, nothing else|no, thank you, that is it|no, we are finished)",
    "end": "(that's all|that is all|I am done|that's it|nothing else|I am happy with it|we are finished|stop here|bye)",
    "unclear": "(hmm|I am not sure|what do you mean ?|hello|undo|who are you ?|tell me a joke|I do not like it)",
}

# What people say besides, and the simulated user does not.
OVERHEARD = {
    "enough": "(enough|that is enough|ok|okay, thanks|great|perfect|good|nice|I like it|looks good|well done)",
    "not_enough": "(not enough|not yet|not quite|still not enough|not quite there)",
    "end": "(quit|exit|stop|thanks, bye|done|finished|that will be all|nothing|no more changes|goodbye)",
    "no": "(nope, thanks|never|no way|rather not, thanks|please do not)",
    "unclear": "(that looks bad|I don't like it|what can you do ?|help|why ?|what ?|blue hair|a bigger nose)",
}

# What the published simulator says, each attribute's (less, more); in our words. Then, when nothing is left: "end".
PUBLISHED = {
    "bangs": ("let the bangs be shorter", "let the bangs be longer"),
    "eyeglasses": ("take off the glasses", "put on glasses"),
    "beard": ("less beard", "more beard"),
    "smiling": ("let them smile less", "let them smile more"),
    "age": ("let them be younger", "let them be older"),
}

# How the system calls an attribute, with its verb; and its degrees, to be said after "now".
NAMES = {
    "bangs": ("the bangs", "Are"),
    "eyeglasses": ("the glasses", "Are"),
    "beard": ("the beard", "Is"),
    "smiling": ("the smile", "Is"),
    "age": ("the age", "Is"),
}
STATES = {
    "bangs": (
        "there are no bangs",
        "the bangs are very short",
        "the bangs are short",
        "the bangs are of medium length",
        "the bangs are long",
        "the bangs cover the whole forehead",
    ),
    "eyeglasses": (
        "there are no glasses",
        "the glasses are rimless",
        "the glasses have a thin frame",
        "the glasses have a thick frame",
        "these are sunglasses with a thin frame",
        "these are sunglasses with a thick frame",
    ),
    "beard": (
        "there is no beard",
        "there is some stubble",
        "the beard is short",
        "the beard is of medium length",
        "the beard is long and bushy",
        "the beard is very long",
    ),
    "smiling": (
        "there is no smile",
        "there is a faint smile",
        "there is a gentle smile",
        "there is a bright smile",
        "there is a big smile",
        "there is a laugh",
    ),
    "age": (
        "this is a child",
        "this is a person of about twenty",
        "this is a person of about thirty",
        "this is a person of about forty-five",
        "this is a person of about sixty",
        "this is a person of about eighty",
    ),
}
# What the system offers: of an attribute to have less, more, or some where there is none.
OFFERS = {
    "bangs": ("make the bangs a little shorter", "make the bangs a little longer", "add very short bangs"),
    "eyeglasses": ("make the glasses a little lighter", "make the glasses a little bolder", "add rimless glasses"),
    "beard": ("trim the beard a little", "add a little beard", "add some stubble"),
    "smiling": ("make the smile a little smaller", "add a little more of a smile", "add a faint smile"),
    "age": ("make the person a little younger", "make the person a little older", "make the child a little older"),
}

# Slots: {state} as it is now, {offer} what would be done, {name} the attribute, {Is} its verb.
FEEDBACK = {
    "start": ("Hello! What would you like to change?", "Welcome! How may I edit this face?", "Hello! What shall I do?"),
    "suggestion": (
        "(All right. |)(Shall I also|Would you like me to|May I|Do you want me to) {offer}?",
        "(All right. |)How about something else: shall I {offer}?",
    ),
    "whether_enough": (
        "(Done. |Here you are. |)Now {state}. (Is that enough?|Is that what you want?|Do you like it?)",
        "(Done. |Okay. |)I have changed {name}. (Is it enough like this?|Does that suit you?)",
        "(Done. |Okay. |)({Is} {name} fine like this?|{Is} {name} as you want?)",
    ),
    "whats_next": (
        "(All right. |Okay. |)(What would you like next?|What shall I change now?|Is there anything else?)",
        "(All right. |)What else can I do for you?",
    ),
    "already_there": (
        "But {state} already. (What would you like instead?|What else shall I change?)",
        "There is nothing to do: {state}. What would you like next?",
    ),
    "cannot": (
        "I am sorry, I cannot change {name} any further. What would you like instead?",
        "Sorry, this is as far as I can take {name}. What shall I change now?",
    ),
    "unclear": (
        "I am sorry, I did not understand. Could you say it in other words?",
        "Pardon? I can change bangs, glasses, beard, smile and age.",
        "Sorry, what shall I change: the bangs, the glasses, the beard, the smile or the age?",
    ),
    "contradictory": (
        "You ask for more and for less at once. Which of them shall it be?",
        "I cannot do both of these at once. Which one do you want?",
    ),
    "several": (
        "One change at a time, please. What shall I do first?",
        "These are several changes. With which one shall I begin?",
    ),
    "overlong": (
        "That was a lot at once. Could you say it in one short sentence?",
        "I lost the thread. Could you put it more briefly?",
    ),
    "bye": ("You are welcome. Goodbye!", "It was a pleasure. Goodbye!", "Thank you, and goodbye!"),
}
