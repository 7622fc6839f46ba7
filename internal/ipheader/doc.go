// Package ipheader has what is known of the headers of IP and of the protocols over it, apart from
// parsing whole packets (package selector): where their fields are, and checksums. It imports
// nothing of the project, does no I/O and allocates nothing.
package ipheader
