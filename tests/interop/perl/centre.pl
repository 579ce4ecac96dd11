#!/usr/bin/perl
# An SMS centre on Net::SMPP: every octet is read and written by that library. See tests/interop/centres.py for what
# it does and says. Arguments: port and password. Encode's own GSM0338 reads the default alphabet.
use strict;
use warnings;
use utf8;
use Encode qw(decode encode);
use IO::Select;
use JSON::PP;
use Net::SMPP;

my ($port, $password) = @ARGV;
my $json = JSON::PP->new->utf8;
$| = 1;
my (%system, %kind, %listener, %refused);
my $next = 1;
my %fates = ("0000" => ["UNDELIV", 5, "069"], "0001" => ["EXPIRED", 3, "070"]);

sub say_event { syswrite STDOUT, $json->encode({@_}) . "\n"; }

sub deliver {
    my ($system, %fields) = @_;
    my $session = $listener{$system} or return;
    $session->deliver_sm(%fields, async => 1);
}

sub report {
    my ($system, $pdu, $id) = @_;
    my ($word, $state, $error) = @{$fates{substr $pdu->{destination_addr}, -4} || ["DELIVRD", 2, "000"]};
    deliver($system,
        source_addr => $pdu->{destination_addr}, destination_addr => $pdu->{source_addr}, esm_class => 4,
        short_message => "id:$id sub:001 dlvrd:001 submit date:2611231200 done date:2611231200 stat:$word err:$error text:",
        receipted_message_id => "$id\0", message_state => chr($state),
        user_message_reference => $pdu->{user_message_reference});
}

sub answer {
    my ($system, $pdu) = @_;
    my @way = (source_addr => $pdu->{destination_addr}, destination_addr => $pdu->{source_addr});
    my $ending = substr $pdu->{destination_addr}, -4;
    deliver($system, @way, data_coding => 8, short_message => encode("UTF-16BE", "退订")) if $ending eq "0002";
    deliver($system, @way, data_coding => 0, short_message => encode("gsm0338", "no [€] thanks")) if $ending eq "0006";
    return unless $ending eq "0005";
    my @halves = ("长" x 67, "短信");
    for my $place (1, 0) {
        my $header = pack("C6", 5, 0, 3, 77, 2, $place + 1);
        deliver($system, @way, data_coding => 8, esm_class => 0x40,
            short_message => $header . encode("UTF-16BE", $halves[$place]));
    }
}

sub take {
    my ($session, $pdu) = @_;
    my $number = $pdu->{destination_addr};
    if ($number =~ /0003$/ && !$refused{$number}++) {
        $session->submit_sm_resp(message_id => "", seq => $pdu->{seq}, status => 0x58);
        return;
    }
    my $payload = defined $pdu->{message_payload};
    my $octets = $payload ? $pdu->{message_payload} : $pdu->{short_message};
    my $udh = "";
    if ($pdu->{esm_class} & 0x40) {
        my $length = 1 + ord $octets;
        ($udh, $octets) = (substr($octets, 1, $length - 1), substr($octets, $length));
    }
    my $text = decode($pdu->{data_coding} == 8 ? "UTF-16BE" : "gsm0338", $octets);
    my $id = sprintf "%x", $next++;
    my $reference = $pdu->{user_message_reference};
    say_event(event => "submit", id => $id, number => $number, source => $pdu->{source_addr}, text => $text,
        udh => unpack("H*", $udh), way => $payload ? "payload" : "short",
        reference => defined $reference ? 0 + unpack("n", $reference) : undef,
        receipt => $pdu->{registered_delivery} == 1 ? JSON::PP::true : JSON::PP::false,
        until => $pdu->{validity_period});
    $session->submit_sm_resp(message_id => $id, seq => $pdu->{seq});
    report($system{$session}, $pdu, $id) if $pdu->{registered_delivery} == 1;
    answer($system{$session}, $pdu);
}

sub bind_it {
    my ($session, $pdu, $kind) = @_;
    my $reply = "bind_${kind}_resp";
    if ($pdu->{password} ne $password) {
        $session->$reply(system_id => "", seq => $pdu->{seq}, status => 0x0e);
        return;
    }
    $system{$session} = $pdu->{system_id};
    $listener{$pdu->{system_id}} = $session if $kind ne "transmitter";
    $session->$reply(system_id => "perl", seq => $pdu->{seq});
    say_event(event => "bind", kind => $kind);
    $session->enquire_link(async => 1);
}

my %on = (
    0x00000001 => sub { bind_it(@_, "receiver") },
    0x00000002 => sub { bind_it(@_, "transmitter") },
    0x00000009 => sub { bind_it(@_, "transceiver") },
    0x00000004 => \&take,
    0x00000006 => sub { my ($session, $pdu) = @_; say_event(event => "unbind"); $session->unbind_resp(seq => $pdu->{seq}); },
    0x00000015 => sub { my ($session, $pdu) = @_; say_event(event => "enquire"); $session->enquire_link_resp(seq => $pdu->{seq}); },
    0x80000015 => sub { say_event(event => "enquired") },
    0x80000005 => sub { my ($session, $pdu) = @_; say_event(event => "acked", status => $pdu->{status}); },
);

my $door = Net::SMPP->new_listen("127.0.0.1", port => $port, smpp_version => 0x34) or die "cannot listen: $!";
say_event(event => "listening", port => $door->sockport);
my $select = IO::Select->new($door);
while (1) {
    for my $ready ($select->can_read) {
        if ($ready == $door) {
            my $session = $door->accept;
            $session->set_version(0x34);
            $select->add($session);
            next;
        }
        # each connection is read one PDU at a time: the library keeps nothing back between two reads
        my $pdu = do { local $SIG{__WARN__} = sub { }; $ready->read_pdu };
        if (!defined $pdu) {
            $select->remove($ready);
            delete $listener{$system{$ready}} if defined $system{$ready} && ($listener{$system{$ready}} || 0) == $ready;
            $ready->close;
            next;
        }
        $on{$pdu->{cmd}}->($ready, $pdu) if $on{$pdu->{cmd}};
    }
}
