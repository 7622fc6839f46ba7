// Package clsact attaches a program to devices by filters of tc, for kernels without tcx (before
// Linux 6.6).
//
// A filter of tc belongs to the device and stays when the process that made it is killed, where a
// link of tcx ends with its descriptor. What stays here is a stub:
//
//	device --> clsact --> stub -- tail call --> array[0]: the program --> its maps
//	                        |
//	                        +-- the array is empty --> next filter, IP stack
//
// Of an array of programs (BPF_MAP_TYPE_PROG_ARRAY) the kernel clears the entries when the last
// descriptor of it is closed, whatever else refers to it. So the program and its maps end with the
// process, and the stub leaves all packets to who comes next. Stubs of ended processes are removed
// by the next one with the same name (Release).
//
// Others' filters and their qdiscs are left alone: a stub comes behind them, and the qdisc is only
// removed by the stub that it was made for, if nothing else is in it.
package clsact
