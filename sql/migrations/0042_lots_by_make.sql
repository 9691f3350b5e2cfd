-- Lots are found by their make: a preview of a watch of all models of one read the whole board of lots.
-- depends: 0041_texts_masked

create index lot_board_make on lot_board (make);
