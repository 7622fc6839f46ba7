package ike

import "culvert/ike/wire"

// Identity is an IKE identity as it goes into an ID payload (RFC 7296, Section 3.5), or a pattern of them in a policy.
type Identity struct {
	Type wire.IDType
	Data string // the ID payload's octets; a pattern of FQDN or RFC822 may hold '*'
}
