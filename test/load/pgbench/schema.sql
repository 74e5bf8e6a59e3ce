-- The mark that rbcs is measured against: the same transfer as one PL/pgSQL function call.
-- It does what a careful hand-made service does in one SQL transaction: an idempotent ID, two row
-- locks in one order, a check of funds, two balances, one log row.
drop schema if exists mark cascade;
create schema mark;

create table mark.accounts (
    number  text collate "C" primary key,
    balance numeric(38, 0) not null,
    version bigint         not null default 0
) with (fillfactor = 50);

create table mark.transfers (
    id                  text collate "C" primary key,
    source              text           not null,
    destination         text           not null,
    amount              numeric(38, 0) not null,
    source_balance      numeric(38, 0) not null,
    destination_balance numeric(38, 0) not null,
    committed_at        timestamptz    not null default clock_timestamp()
);

create function mark.transfer(tx_id text, src text, dst text, amt numeric) returns text
    language plpgsql as
$$
declare
    available numeric;
    src_after numeric;
    dst_after numeric;
begin
    perform 1 from mark.accounts where number in (src, dst) order by number for no key update;
    select balance into available from mark.accounts where number = src;
    if available < amt then
        return 'insufficient_funds';
    end if;
    update mark.accounts set balance = balance - amt, version = version + 1 where number = src returning balance into src_after;
    update mark.accounts set balance = balance + amt, version = version + 1 where number = dst returning balance into dst_after;
    insert into mark.transfers (id, source, destination, amount, source_balance, destination_balance)
    values (tx_id, src, dst, amt, src_after, dst_after);
    return 'posted';
end
$$;

insert into mark.accounts (number, balance)
select 'acct-' || lpad(i::text, 6, '0'), 1000000000 from generate_series(0, 9999) i;
analyze mark.accounts;
