package plugin

// NewManagerOn makes a manager whose files fail as a test says.
var NewManagerOn = newManager
