// Package child keeps the Child SAs of policies: which are up, which one is sent on, when each is
// rekeyed and when it ends.
//
// A Policy says what is wanted. It has chains; a Chain is a Pair and what it is rekeyed to. The
// package knows no protocol: it has Carrier (the SA that negotiates, as IKEv2's IKE SA), Owner (the
// party at the other end) and Host (time, randomness and the dataplane) do what it decides, and is
// told what came of it. It does no I/O and is not safe for concurrent use.
//
// The rules that it keeps: a policy that has a usable pair has one to send on; a new pair is
// installed before an old one is let go; nothing is sent on a pair that the peer may not have, or
// has deleted.
package child
