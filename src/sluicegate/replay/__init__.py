"""What a web server's log would have met: rules tried on requests that were really made."""
