package behaviour

// Accepted is every difference that there may be, and has to be.
var Accepted = []Group{verbDifferences, classDifferences, eventDifferences, specDifferences, diskDifferences}
