package main

// Mozilla's CA certificates, for an image that has none. Unlike a file of them they keep the dates from which a CA is no longer
// trusted; a file in one of the usual places, such as a company's own, still comes first.
import _ "golang.org/x/crypto/x509roots/fallback"
