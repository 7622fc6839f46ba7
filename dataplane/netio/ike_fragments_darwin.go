package netio

// openRaws opens nothing: without ProbeIKE nothing is lost for its DF, and nothing needs them.
func (k *ikeSide) openRaws(*Config) {}
