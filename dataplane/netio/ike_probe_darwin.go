package netio

import "errors"

// CanProbeIKE reports whether there is ProbeIKE. The worker's socket is IKE's here, and its options
// are not to be changed under it.
const CanProbeIKE = false

func (c *ikeConn) fragments(bool) error { return errors.ErrUnsupported }
