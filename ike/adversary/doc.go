// Package adversary is an IKEv2 peer for tests that can do every legal and illegal thing. It has
// nothing in common with the engine but the wire format and the cryptography (ike/wire, ike/suite):
// its states, its protection of SK{} and its fragments are its own. Only tests import it.
//
// Without a Move it is an honest peer in both roles, of one window, which answers what it is asked.
// A Move changes one message on its way out: its payloads before encryption, the header and the
// padding that are authenticated with them, the fragments, or the datagrams after encryption.
//
//	payloads -> Pieces -> Header, Trailer -> Parts -> sealed -> Datagrams -> sent
//
// It does no I/O, reads no clock, and takes its randomness from Config.Rand. Datagrams go in and
// come out of its methods.
package adversary
