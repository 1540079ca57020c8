// Package shop is the client that oapi-codegen generates.
package shop
