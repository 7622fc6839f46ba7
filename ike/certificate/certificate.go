// Package certificate authenticates the sides of an IKE SA by signatures (RFC 7296, Section 2.15;
// RFC 7427): it makes and checks AUTH payloads, verifies chains of X.509 certificates, and matches
// identities to certificates (RFC 4945). It does no I/O, reads no clock, and keeps no state. What a
// peer sends is bounded before anything is computed for it.
//
// Errors are sentences for operators. They are escaped, bounded, and hold no secrets.
package certificate
