// Package ike is a sans-I/O IKEv2 engine (RFC 7296): all policy, no sockets, no clock, no goroutines. It is fed Inputs with
// the time at which they happened and answers with Effects: messages to send, SAs to install, slow computations to run.
package ike
