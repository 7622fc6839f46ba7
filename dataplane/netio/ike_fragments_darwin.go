package netio

// openRaws opens nothing: without ProbeIKE, DF loses no message, and nothing needs these sockets.
func (k *ikeSide) openRaws(*Config) {}
