package netio

import "errors"

// CanProbeIKE reports whether ProbeIKE works. Here IKE shares the worker's socket, whose options
// must not change during its use.
const CanProbeIKE = false

func (c *ikeConn) fragments(bool) error { return errors.ErrUnsupported }
