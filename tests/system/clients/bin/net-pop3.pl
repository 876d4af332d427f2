#!/usr/bin/perl
# Ends a message's lines with LF in clear text, and with CRLF in TLS.
use strict;
use warnings;
use Net::POP3;

my ($what) = @ARGV;
if ($what eq 'version') {
    print Net::POP3->VERSION, "\n";
    exit;
}
my ($way, $count) = ($ENV{WAY}, $ENV{COUNT});
my $pop = Net::POP3->new($ENV{HOST}, Port => $ENV{PORT}, Timeout => 20, SSL => $way eq 'tls')
    or die "no connection: $@";
if ($way eq 'stls') { $pop->starttls or die 'no TLS: ', $pop->message }
defined $pop->login($ENV{ACCOUNT}, $ENV{PASSWORD}) or die 'no login: ', $pop->message;
if ($what eq 'list') {
    my $sizes = $pop->list or die $pop->message;
    print 'messages ', scalar(keys %$sizes), "\n";
    print "size $_ $sizes->{$_}\n" for keys %$sizes;
}
for my $number (1 .. $count) {
    if ($what eq 'fetch') {
        open my $file, '>:raw', "mail/$number" or die $!;
        my $lines = $pop->get($number) or die $pop->message;
        print $file map { s/\r?\n\z/\n/r } @$lines;
        close $file or die $!;
    }
    if ($what eq 'delete') { $pop->delete($number) or die $pop->message }
}
$pop->quit or die 'no goodbye: ', $pop->message;
