package ipheader

// FastSum enables the fast way to sum, where this processor has one.
var FastSum = &fastSum
