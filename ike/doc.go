// Package ike is a sans-I/O IKEv2 engine (RFC 7296). It has no sockets, clock or goroutines. Its
// Inputs carry the time at which they happened; its Effects are the messages to send, the SAs to
// install and the slow computations to run.
package ike
