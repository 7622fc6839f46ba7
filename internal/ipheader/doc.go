// Package ipheader has what is known of the headers of IP and of the protocols over it, apart from
// parsing whole packets (package selector): where their fields are, checksums and their updates
// (RFC 1624), the MSS option of TCP, ICMP errors, and IPv4 fragments. It imports nothing of the
// project, does no I/O and allocates nothing.
package ipheader
